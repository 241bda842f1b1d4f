export { Scanner, type ScannerProps } from "./Scanner";

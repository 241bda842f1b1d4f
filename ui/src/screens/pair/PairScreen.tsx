export function PairScreen() {
  return null;
}

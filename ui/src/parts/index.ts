export { useActionButton, wayOf } from "./actions";
export { CopyId } from "./CopyId";
export { errorDetails } from "./details";
export { ErrorFoot, ErrorPanel, useErrorWords } from "./ErrorPanel";
export { Page } from "./Page";
export { Empty, Failure, Loading } from "./states";
export { When } from "./When";

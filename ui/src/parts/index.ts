export { useActionButton, wayOf } from "./actions";
export { CopyId } from "./CopyId";
export { errorDetails } from "./details";
export { Empty } from "./Empty";
export { ErrorFoot, ErrorPanel, useErrorWords } from "./ErrorPanel";
export { Failure } from "./Failure";
export { Loading } from "./Loading";
export { Page } from "./Page";
export { When } from "./When";

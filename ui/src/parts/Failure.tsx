import { IconCloudOff, IconLock } from "@tabler/icons-react";
import { asCommandError } from "@/platform";
import { Empty } from "./Empty";
import { ErrorFoot, ErrorPanel, useErrorWords } from "./ErrorPanel";

/** Codes that say: you are not allowed. */
const FORBIDDEN = new Set<string>(["api-forbidden", "no-role", "account-forbidden"]);

/** Whatever went wrong where a page's content should be: forbidden, offline, or any other failure. */
export function Failure({ error: thrown, onRetry }: { error: unknown; onRetry?: () => void }) {
  const error = asCommandError(thrown);
  const words = useErrorWords(error);
  if (!FORBIDDEN.has(error.code) && error.code !== "offline") {
    return <ErrorPanel error={error} onRetry={onRetry} />;
  }
  return (
    <div role="alert">
      <Empty
        icon={error.code === "offline" ? IconCloudOff : IconLock}
        title={words.title}
        action={<ErrorFoot error={error} />}
      >
        {words.text}
      </Empty>
    </div>
  );
}

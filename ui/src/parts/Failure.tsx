import { Group } from "@mantine/core";
import { IconCloudOff, IconLock } from "@tabler/icons-react";
import { asCommandError, type ErrorCode } from "@/platform";
import { useActionButton } from "./actions";
import { Empty } from "./Empty";
import { ErrorFacts, ErrorFoot, ErrorPanel, useErrorWords } from "./ErrorPanel";

/** Codes that say: you are not allowed. */
const FORBIDDEN = new Set<ErrorCode>(["api-forbidden", "no-role"]);

/** Whatever went wrong where a page's content should be: forbidden, offline, or any other failure. */
export function Failure({ error: thrown, onRetry }: { error: unknown; onRetry?: () => void }) {
  const error = asCommandError(thrown);
  const words = useErrorWords(error);
  const button = useActionButton(error, onRetry);
  if (!FORBIDDEN.has(error.code) && error.code !== "offline") {
    return <ErrorPanel error={error} onRetry={onRetry} />;
  }
  return (
    <div role="alert">
      <Empty
        icon={error.code === "offline" ? IconCloudOff : IconLock}
        title={words.title}
        action={
          <>
            <ErrorFacts error={error} />
            {button && <Group gap="xs">{button}</Group>}
            <ErrorFoot error={error} />
          </>
        }
      >
        {words.text}
      </Empty>
    </div>
  );
}

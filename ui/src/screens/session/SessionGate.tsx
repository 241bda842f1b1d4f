import { useQueryClient } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useRef } from "react";
import { PageLoading } from "@/parts/Page";
import { asCommandError, platform } from "@/platform";
import { useCall } from "@/platform/react";

const CodeScreen = lazy(() => import("./CodeScreen"));

/** The page, or, on a gateway that does not know this browser yet, the place for the one-time code. */
export function SessionGate({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const about = useCall("about", {});
  const wasOpen = useRef(false);
  if (about.isSuccess) wasOpen.current = true;
  if (about.error && asCommandError(about.error).code === "gateway-session-missing") {
    return (
      <Suspense>
        {/* Whoever has the new code need not be who had the session before: loaded anew, the page knows nothing of theirs. */}
        <CodeScreen onOpen={() => (wasOpen.current ? location.reload() : void queries.resetQueries())} />
      </Suspense>
    );
  }
  // Nothing of the page is shown, or asked for, before the gateway has said whether it knows this browser.
  if (about.isPending && platform.openSession) return <PageLoading />;
  // Whatever else is wrong is said by the page itself; it is not held back for this answer.
  return children;
}

import { useQueryClient } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense } from "react";
import { asCommandError } from "@/platform";
import { useCall } from "@/platform/react";

const CodeScreen = lazy(() => import("./CodeScreen"));

/** What the gateway says to a browser that has not shown the code of its console yet, or whose session has ended. */
export const NO_SESSION = "gateway-session-missing";

/** The page, or, on a gateway that does not know this browser yet, the place for the one-time code. */
export function SessionGate({ children }: { children: ReactNode }) {
  const queries = useQueryClient();
  const about = useCall("about", {});
  if (about.error && (asCommandError(about.error).code as string) === NO_SESSION) {
    return (
      <Suspense>
        <CodeScreen onOpen={() => void queries.resetQueries()} />
      </Suspense>
    );
  }
  // Whatever else is wrong is said by the page itself; it is not held back for this answer.
  return children;
}

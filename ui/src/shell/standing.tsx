import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect } from "react";
import type { Standing } from "@/platform";
import { type Streamed, useSnapshots } from "@/platform/react";

const StandingContext = createContext<Streamed<Standing>>({});

/** One stream for the whole page: who is signed in, whether there is a network, whether the demo is on. */
export function StandingProvider({ children }: { children: ReactNode }) {
  const standing = useSnapshots("standing", {});
  const queries = useQueryClient();
  // A session that has ended is noticed here first; the gate (screens/session) asks for the code again.
  const code = standing.error?.code;
  useEffect(() => {
    if (code === "gateway-session-missing") void queries.invalidateQueries({ queryKey: ["about"] });
  }, [code, queries]);
  return <StandingContext value={standing}>{children}</StandingContext>;
}

/** How things stand; `latest` is missing until the first word of the core. */
export function useStanding(): Streamed<Standing> {
  return useContext(StandingContext);
}

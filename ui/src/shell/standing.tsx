import { createContext, type ReactNode, useContext } from "react";
import type { Standing } from "@/platform";
import { type Streamed, useSnapshots } from "@/platform/react";

const StandingContext = createContext<Streamed<Standing>>({});

/** One stream for the whole page: who is signed in, whether there is a network, whether the demo is on. */
export function StandingProvider({ children }: { children: ReactNode }) {
  return <StandingContext value={useSnapshots("standing", {})}>{children}</StandingContext>;
}

/** How things stand; `latest` is missing until the first word of the core. */
export function useStanding(): Streamed<Standing> {
  return useContext(StandingContext);
}

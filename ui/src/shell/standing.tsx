import { type Query, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useRef } from "react";
import type { Standing } from "@/platform";
import { type Streamed, useSnapshots } from "@/platform/react";

const StandingContext = createContext<Streamed<Standing>>({});

/** Who asks: whoever else signs in, or the demo, sees nothing of what was shown before. */
const asker = ({ account, byToken, server, demo }: Standing) =>
  JSON.stringify([account?.name, byToken, server, demo.state === "on"]);

/** What changes when a pairing begins, ends, or is told. */
const pairings = ({ running, unfinished, untold }: Standing) => JSON.stringify([running, unfinished, untold]);

/** Of this machine, or of a device, whoever asks. */
const OF_ALL: unknown[] = ["about", "accounts", "settings", "wifi_networks"];
const OF_ONE = { predicate: ({ queryKey }: Query) => !OF_ALL.includes(queryKey[0]) };
const OF_PAIRINGS: unknown[] = ["pairings", "journal", "journal_entry"];

/** One stream for the whole page: who is signed in, whether there is a network, whether the demo is on. */
export function StandingProvider({ children }: { children: ReactNode }) {
  const standing = useSnapshots("standing", {});
  const queries = useQueryClient();
  // A session that has ended is noticed here first; the gate (screens/session) asks for the code again.
  const code = standing.error?.code;
  useEffect(() => {
    if (code === "gateway-session-missing") void queries.invalidateQueries({ queryKey: ["about"] });
  }, [code, queries]);
  useChange(standing.latest && asker(standing.latest), () => {
    void queries.resetQueries(OF_ONE);
    void queries.invalidateQueries({ queryKey: ["accounts"] });
  });
  useChange(standing.latest && pairings(standing.latest), () => {
    void queries.invalidateQueries({ predicate: ({ queryKey }) => OF_PAIRINGS.includes(queryKey[0]) });
  });
  return <StandingContext value={standing}>{children}</StandingContext>;
}

/** Runs when the text is another one than before; not for the first. */
function useChange(text: string | undefined, run: () => void) {
  const before = useRef(text);
  const newest = useRef(run);
  newest.current = run;
  useEffect(() => {
    if (text === undefined || text === before.current) return;
    const first = before.current === undefined;
    before.current = text;
    if (!first) newest.current();
  }, [text]);
}

/** How things stand; `latest` is missing until the first word of the core. */
export function useStanding(): Streamed<Standing> {
  return useContext(StandingContext);
}

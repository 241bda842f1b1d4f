import { useEffect, useRef, useState } from "react";
import { asCommandError, type CommandError, platform } from "@/platform";

/** Starting the demo; it goes on in the core when the page leaves. */
export function useDemo() {
  const [starting, setStarting] = useState(false);
  const [parts, setParts] = useState<string[]>([]);
  const [error, setError] = useState<CommandError>();
  const stopWatching = useRef<AbortController>(undefined);
  useEffect(() => () => stopWatching.current?.abort(), []);

  const start = (devices: number) => {
    const watching = new AbortController();
    stopWatching.current = watching;
    setStarting(true);
    setParts([]);
    setError(undefined);
    platform
      .stream(
        "demo_start",
        { devices },
        (event) => {
          if (event.event === "part-started") setParts((before) => [...before, event.name]);
          if (event.event === "failed" && event.error.code !== "cancelled") setError(event.error);
        },
        watching.signal,
      )
      .catch((thrown) => setError(asCommandError(thrown)))
      .finally(() => setStarting(false));
  };
  const stop = () => {
    void platform.call("demo_stop", {}).catch((thrown) => setError(asCommandError(thrown)));
  };
  return { starting, parts, error, start, stop };
}

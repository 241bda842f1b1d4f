import { Tooltip } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { formatExact, formatRelative } from "@/words";

/** One clock for all times on a page; it ticks twice a minute, and only while somebody looks. */
let now = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, 30_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** "3 minutes ago"; the exact time on hover and for screen readers. */
export function When({ at }: { at: string }) {
  const { i18n } = useTranslation();
  useSyncExternalStore(subscribe, () => now);
  const date = new Date(at);
  return (
    <Tooltip label={formatExact(i18n.language, date)}>
      <time dateTime={at}>{formatRelative(i18n.language, date, new Date(Math.max(now, Date.now())))}</time>
    </Tooltip>
  );
}

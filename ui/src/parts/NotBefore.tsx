import { Text } from "@mantine/core";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { formatExact, formatMoment, formatRelative } from "@/words";

/** From when on it makes sense to try again: by the clock, and how long that is. `at` is this page's clock, milliseconds. */
export function NotBefore({ at }: { at: number }) {
  const { t, i18n } = useTranslation("codes");
  const [now, setNow] = useState(Date.now);
  const over = now >= at;
  useEffect(() => {
    if (over) return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [over]);
  const date = new Date(at);
  // Rounded up: nobody comes too early.
  const step = at - now < 60_000 ? 1_000 : 60_000;
  const left = new Date(now + Math.ceil((at - now) / step) * step);
  return (
    // An alert reads out every change in it, and the seconds are none to be read.
    <Text size="sm" className="figures" aria-live="off">
      <time dateTime={date.toISOString()} title={formatExact(i18n.language, date)}>
        {t("codes:retryAfter", { at: formatMoment(i18n.language, date, new Date(now)) })}
        {!over && ` · ${formatRelative(i18n.language, left, new Date(now))}`}
      </time>
    </Text>
  );
}

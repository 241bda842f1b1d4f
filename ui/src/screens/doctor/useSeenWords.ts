import { useTranslation } from "react-i18next";
import { useProblemWords } from "@/parts/useProblemWords";
import type { Check, Seen } from "@/platform";
import { formatBytes, formatDay, formatExact, formatNumber, formatSeconds } from "@/words";

/** Words what a check saw; the core's own English where there are no details, or a kind that is newer than this page. */
export function useSeenWords(): (check: Check) => string[] {
  const { t, i18n } = useTranslation(["doctor", "settings", "codes"]);
  const problemWords = useProblemWords();
  const { language } = i18n;
  const day = (at?: string) => (at === undefined ? "?" : formatDay(language, new Date(at)));

  function one(seen: Seen): string | undefined {
    switch (seen.seen) {
      case "setting": {
        const place = [seen.place, seen.key].filter(Boolean).join(": ");
        const problem = problemWords(seen.problem, seen.key);
        return problem && t("doctor:seenAs.setting", { place, problem });
      }
      case "override":
        return t("doctor:seenAs.override", { key: seen.key, warning: t(`settings:warnings.${seen.key}` as never) });
      case "certificate": {
        const issuer = seen.issuer ?? t("doctor:seenAs.unreadable");
        if (seen.notAfter === undefined) return t("doctor:seenAs.certificate", { issuer });
        const notAfter = day(seen.notAfter);
        return seen.notBefore === undefined
          ? t("doctor:seenAs.certificateUntil", { issuer, notAfter })
          : t("doctor:seenAs.certificateFrom", { issuer, notAfter, notBefore: day(seen.notBefore) });
      }
      case "today":
        return t("doctor:seenAs.today", { at: day(seen.at) });
      case "clock": {
        const time = formatSeconds(language, Math.abs(seen.seconds));
        return seen.seconds < 0 ? t("doctor:seenAs.clockBehind", { time }) : t("doctor:seenAs.clockAhead", { time });
      }
      case "version":
        return seen.version === undefined
          ? t("doctor:seenAs.versionUnknown")
          : t("doctor:seenAs.version", { version: seen.version });
      case "took":
      case "took-again":
        return t(`doctor:seenAs.${seen.seen}`, { ms: formatNumber(language, seen.ms) });
      case "person": {
        const { name, account } = seen;
        const role = t(`codes:roles.${seen.role}`);
        return account === undefined
          ? t("doctor:seenAs.personByToken", { name, role })
          : t("doctor:seenAs.person", { name, role, account });
      }
      case "valid-until":
        return t("doctor:seenAs.valid-until", { at: formatExact(language, new Date(seen.at)) });
      case "no-adapter": {
        const of = `doctor:seenAs.no-adapter.${seen.problem}`;
        const text = i18n.exists(of) ? t(of as never) : seen.text;
        return seen.command === undefined ? text : `${text}. ${t("doctor:seenAs.command", { command: seen.command })}`;
      }
      case "port":
        return t(`doctor:seenAs.port.${seen.state}`, { path: seen.path });
      case "room":
        return seen.bytes === undefined
          ? t("doctor:seenAs.roomUnknown")
          : t("doctor:seenAs.room", { room: formatBytes(language, seen.bytes) });
      case "error": {
        const of = `codes:errors.${seen.code}.title`;
        return [i18n.exists(of) ? t(of as never) : seen.code, seen.detail].filter(Boolean).join(": ");
      }
      case "no-answer":
        return t("doctor:seenAs.no-answer", { time: formatSeconds(language, seen.seconds) });
      default: {
        const of = `doctor:seenAs.${(seen as Seen).seen}`;
        return i18n.exists(of) || i18n.exists(of, { count: 2 })
          ? t(of as never, seen as Record<string, unknown>)
          : undefined;
      }
    }
  }

  return (check) => {
    const words = check.details?.map(one) ?? [];
    if (words.length > 0 && words.every((word) => word !== undefined)) return words;
    return check.seen ? [check.seen] : [];
  };
}

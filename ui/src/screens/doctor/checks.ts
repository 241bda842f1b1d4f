import type { Meaning } from "@/parts/Mark";
import type { Check, Report } from "@/platform";

export type Status = Check["status"];

export const MEANING: Record<Status, Meaning> = { ok: "good", skipped: "none", warning: "warn", failed: "bad" };

const WORST_FIRST: Status[] = ["failed", "warning", "ok", "skipped"];

/** How many of each, the worst first; those that there are none of are left out. */
export function statusCounts(checks: Check[]): [Status, number][] {
  return WORST_FIRST.map((status): [Status, number] => [
    status,
    checks.filter((check) => check.status === status).length,
  ]).filter(([, count]) => count > 0);
}

/** Where in this program a mend is done, if it is. */
export function wayOfCheck(check: Check): { to: "/settings" | "/sign-in"; name: "settings" | "accounts" } | undefined {
  if (check.code === "api-not-set" || check.topic === "sign-in") return { to: "/sign-in", name: "accounts" };
  const settings =
    ["settings", "keyring"].includes(check.topic) ||
    /^(tls-(untrusted|intercepted|name)|api-(address|foreign)|network-(proxy|name|unreachable))$/.test(check.code);
  return settings ? { to: "/settings", name: "settings" } : undefined;
}

/** The report as plain text for a ticket: English, as the command line prints it. */
export function reportText(report: Report): string {
  const lines = report.checks.map((check) =>
    [
      `${check.status.padEnd(7)} ${check.topic}: ${check.text} [${check.code}]`,
      check.seen && `        seen: ${check.seen}`,
      check.mend && `        mend: ${check.mend}`,
    ]
      .filter(Boolean)
      .join("\n"),
  );
  return [`Lowtouch ${report.version}, ${report.at}, ${report.seconds.toFixed(1)} s`, ...lines].join("\n");
}

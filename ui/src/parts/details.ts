import type { CommandError } from "@/platform";

/** The details for support, as plain text. */
export function errorDetails(error: CommandError): string {
  const lines: [string, unknown][] = [
    ["code", error.code],
    ["step", error.step],
    ["detail", error.detail],
    ["request", error.requestId],
    ["retry after", error.retryAfterS === undefined ? undefined : `${error.retryAfterS} s`],
    ["at", new Date().toISOString()],
  ];
  return lines.flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`])).join("\n");
}

/** Numbers, times and durations as a language writes them. `Intl` does the work; what it makes is kept, for it is slow to make. */

const kept = new Map<string, unknown>();

function keep<T>(key: string, make: () => T): T {
  if (!kept.has(key)) kept.set(key, make());
  return kept.get(key) as T;
}

export function formatNumber(language: string, value: number, digits = 0): string {
  return keep(
    `n${language}${digits}`,
    () => new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }),
  ).format(value);
}

/** Date and time to the second, with the zone: what is shown on hover. */
export function formatExact(language: string, at: Date): string {
  return keep(`x${language}`, () => new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "long" })).format(
    at,
  );
}

/** A date without its time. */
export function formatDay(language: string, at: Date): string {
  return keep(`d${language}`, () => new Intl.DateTimeFormat(language, { dateStyle: "medium" })).format(at);
}

/** Hours and minutes. */
export function formatClock(language: string, at: Date): string {
  return keep(`c${language}`, () => new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" })).format(
    at,
  );
}

/** The clock alone for a time of today, else with its day. */
export function formatMoment(language: string, at: Date, now: Date): string {
  if (at.toDateString() === now.toDateString()) return formatClock(language, at);
  return keep(
    `m${language}`,
    () => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }),
  ).format(at);
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["week", 7 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** "3 minutes ago", "in 2 hours". */
export function formatRelative(language: string, at: Date, now: Date): string {
  const seconds = Math.round((at.getTime() - now.getTime()) / 1000);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return keep(`r${language}`, () => new Intl.RelativeTimeFormat(language, { numeric: "auto" })).format(
    Math.trunc(seconds / size),
    unit,
  );
}

/** "4.2 s" under ten seconds if `exact`, else "42 s", "3 min 07 s". */
export function formatSeconds(language: string, seconds: number, exact = false): string {
  const unit = (value: number, unit: string, digits = 0, pad = 1) =>
    keep(
      `u${language}${unit}${digits}${pad}`,
      () =>
        new Intl.NumberFormat(language, {
          style: "unit",
          unit,
          unitDisplay: "short",
          minimumIntegerDigits: pad,
          minimumFractionDigits: digits,
          maximumFractionDigits: digits,
        }),
    ).format(value);
  if (exact && seconds < 10) return unit(seconds, "second", 1);
  const whole = Math.floor(seconds);
  if (whole < 60) return unit(whole, "second");
  if (whole % 60 === 0) return unit(whole / 60, "minute");
  return `${unit(Math.floor(whole / 60), "minute")} ${unit(whole % 60, "second", 0, 2)}`;
}

export function formatBytes(language: string, bytes: number): string {
  const [unit, size] =
    bytes >= 1_000_000
      ? (["megabyte", 1_000_000] as const)
      : bytes >= 1_000
        ? (["kilobyte", 1_000] as const)
        : (["byte", 1] as const);
  return keep(
    `b${language}${unit}`,
    () =>
      new Intl.NumberFormat(language, {
        style: "unit",
        unit,
        unitDisplay: "short",
        maximumFractionDigits: size === 1 ? 0 : 1,
      }),
  ).format(bytes / size);
}

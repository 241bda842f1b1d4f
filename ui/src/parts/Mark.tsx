import {
  IconAlertTriangle,
  IconCircleCheck,
  IconCircleDashed,
  IconCircleX,
  IconClockPause,
  type TablerIcon,
} from "@tabler/icons-react";
import classes from "./Mark.module.css";

/** What a mark means; the icon differs as well as the colour. */
export type Meaning = "good" | "warn" | "bad" | "waiting" | "none";

const ICONS: Record<Meaning, TablerIcon> = {
  good: IconCircleCheck,
  warn: IconAlertTriangle,
  bad: IconCircleX,
  waiting: IconClockPause,
  none: IconCircleDashed,
};

/** A state as icon and word. `quiet` keeps the word for screen readers and the hover. */
export function Mark({
  meaning,
  children,
  quiet = false,
  size = 20,
}: {
  meaning: Meaning;
  children: string;
  quiet?: boolean;
  size?: 16 | 20 | 24;
}) {
  const Icon = ICONS[meaning];
  return (
    <span className={classes.mark} data-meaning={meaning} title={quiet ? children : undefined}>
      <Icon size={size} stroke={1.75} aria-hidden />
      <span className={quiet ? "unseen" : undefined}>{children}</span>
    </span>
  );
}

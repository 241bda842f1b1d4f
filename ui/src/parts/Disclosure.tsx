import { IconChevronRight } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import classes from "./Disclosure.module.css";

/** What not everybody needs: shut until somebody opens it. What is inside is made only then. */
export function Disclosure({ title, children }: { title: ReactNode; children: ReactNode }) {
  const [open, setOpen] = useState(false);
  return (
    <details className={classes.details} open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className={classes.summary}>
        <IconChevronRight className={classes.chevron} size={16} stroke={1.75} aria-hidden />
        {title}
      </summary>
      {open && <div className={classes.inside}>{children}</div>}
    </details>
  );
}

import type { ReactNode } from "react";
import classes from "./Facts.module.css";

/** Names and values. Rows without a value are left out. `columns`: several beside each other where there is room. */
export function Facts({ rows, columns = false }: { rows: [name: string, value: ReactNode][]; columns?: boolean }) {
  const told = rows.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return (
    <dl className={classes.facts} data-columns={columns || undefined}>
      {told.map(([name, value]) => (
        <div key={name} className={classes.row}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

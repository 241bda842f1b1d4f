import { Group, Stack, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import { Loading } from "./Loading";
import classes from "./Page.module.css";

/** A page: its name on top and in the window's title, actions beside it. `narrow` is one column, for one thing at a time. */
export function Page({
  title,
  lead,
  sub,
  actions,
  narrow = false,
  children,
}: {
  title: string;
  /** A picture before the title. */
  lead?: ReactNode;
  /** Below the title. */
  sub?: ReactNode;
  actions?: ReactNode;
  narrow?: boolean;
  children: ReactNode;
}) {
  useEffect(() => {
    document.title = `${title} · Lowtouch`;
  }, [title]);
  return (
    <Stack className={narrow ? classes.narrow : classes.wide} gap="lg">
      <Group justify="space-between" gap="sm">
        <div className={classes.head}>
          {lead}
          <div className={classes.names}>
            <Title order={1}>{title}</Title>
            {sub}
          </div>
        </div>
        {actions}
      </Group>
      {children}
    </Stack>
  );
}

/** While a page's own script is on its way. */
export function PageLoading() {
  return (
    <div className={classes.narrow}>
      <Loading rows={3} height={96} />
    </div>
  );
}

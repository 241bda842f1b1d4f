import { Group, Stack, Title } from "@mantine/core";
import { type ReactNode, useEffect } from "react";
import classes from "./Page.module.css";

/** A page: its name on top and in the window's title, actions beside it. `narrow` is one column, for one thing at a time. */
export function Page({
  title,
  actions,
  narrow = false,
  children,
}: {
  title: string;
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
        <Title order={1}>{title}</Title>
        {actions}
      </Group>
      {children}
    </Stack>
  );
}

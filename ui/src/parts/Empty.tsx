import { Stack, Text, Title } from "@mantine/core";
import type { ComponentType, ReactNode } from "react";
import classes from "./Empty.module.css";

/** Nothing here yet: what will be here, and the action that brings it. */
export function Empty({
  icon: Icon,
  title,
  order = 2,
  children,
  action,
}: {
  icon: ComponentType<{ size?: number; stroke?: number }>;
  title: string;
  /** 1 where nothing else is on the page. */
  order?: 1 | 2;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <Stack className={classes.centre} gap="sm" align="center">
      <span className={classes.icon} aria-hidden>
        <Icon size={40} stroke={1.5} />
      </span>
      <Title order={order} size="h2">
        {title}
      </Title>
      {children && (
        <Text c="dimmed" ta="center" maw="28rem">
          {children}
        </Text>
      )}
      {action}
    </Stack>
  );
}

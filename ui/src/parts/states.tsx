import { Skeleton, Stack, Text, Title } from "@mantine/core";
import { IconCloudOff, IconLock } from "@tabler/icons-react";
import type { ComponentType, ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { asCommandError } from "@/platform";
import { ErrorFoot, ErrorPanel, useErrorWords } from "./ErrorPanel";
import classes from "./states.module.css";

/** Nothing here yet: what will be here, and the action that brings it. */
export function Empty({
  icon: Icon,
  title,
  children,
  action,
}: {
  icon: ComponentType<{ size?: number; stroke?: number }>;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <Stack className={classes.centre} gap="sm" align="center">
      <span className={classes.icon} aria-hidden>
        <Icon size={40} stroke={1.5} />
      </span>
      <Title order={2}>{title}</Title>
      {children && (
        <Text c="dimmed" ta="center" maw="28rem">
          {children}
        </Text>
      )}
      {action}
    </Stack>
  );
}

/** For what takes under a second. */
export function Loading({ rows = 4, height = 48 }: { rows?: number; height?: number }) {
  const { t } = useTranslation();
  return (
    <Stack gap="xs" role="status" aria-busy="true" aria-label={t("loading")}>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: nothing but rows
        <Skeleton key={row} height={height} />
      ))}
    </Stack>
  );
}

/** Codes that say: you are not allowed. */
const FORBIDDEN = new Set<string>(["api-forbidden", "no-role", "account-forbidden"]);

/** Whatever went wrong where a page's content should be: forbidden, offline, or any other failure. */
export function Failure({ error: thrown, onRetry }: { error: unknown; onRetry?: () => void }) {
  const error = asCommandError(thrown);
  const words = useErrorWords(error);
  if (!FORBIDDEN.has(error.code) && error.code !== "offline") {
    return <ErrorPanel error={error} onRetry={onRetry} />;
  }
  return (
    <div role="alert">
      <Empty
        icon={error.code === "offline" ? IconCloudOff : IconLock}
        title={words.title}
        action={
          <>
            <ErrorFoot error={error} />
          </>
        }
      >
        {words.text}
      </Empty>
    </div>
  );
}

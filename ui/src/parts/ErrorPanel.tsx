import { Button, Group, Stack, Text } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconCopy } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { type CommandError, copyText } from "@/platform";
import { useActionButton } from "./actions";
import { errorDetails } from "./details";
import classes from "./ErrorPanel.module.css";

/** What happened and what to do, in the person's language; the core's own English where a code is not known here. */
export function useErrorWords(error: CommandError): { title: string; text: string } {
  const { t, i18n } = useTranslation("codes");
  const key = `codes:errors.${error.code}`;
  if (!i18n.exists(`${key}.title`))
    return { title: t("codes:unknownCode.title"), text: error.hint || t("codes:unknownCode.text") };
  return { title: t(`${key}.title` as never), text: t(`${key}.text` as never) };
}

/** A failure: what happened, what to do, and the button that does it; the code and the details small below. */
export function ErrorPanel({
  error,
  onRetry,
  actions,
  big = false,
}: {
  error: CommandError;
  /** For "try again": also offered when the error's own action leads elsewhere. */
  onRetry?: () => void;
  /** Instead of the button that the error's action asks for; `null`: none. */
  actions?: ReactNode;
  big?: boolean;
}) {
  const { t } = useTranslation();
  const { title, text } = useErrorWords(error);
  const button = useActionButton(error, onRetry, big ? "lg" : undefined);
  const shown = actions === undefined ? button : actions;
  const role = error.missingRole;
  return (
    <section
      className={classes.panel}
      data-big={big || undefined}
      role="alert"
      aria-label={title}
      data-code={error.code}
    >
      <Group gap="sm" wrap="nowrap" align="flex-start">
        <IconAlertTriangle className={classes.icon} size={big ? 32 : 24} stroke={1.75} aria-hidden />
        <Stack gap="xxs" className={classes.words}>
          <Text fw={600} size={big ? "lg" : "md"} component={big ? "h2" : "p"} m={0}>
            {title}
          </Text>
          <Text size={big ? "md" : "sm"}>{text}</Text>
          {role && (
            <Text size="sm">{t("codes:missingRole", { person: role.person, has: role.has, needs: role.needs })}</Text>
          )}
        </Stack>
      </Group>
      {shown && <div className={classes.actions}>{shown}</div>}
      <ErrorFoot error={error} />
    </section>
  );
}

/** The code and "copy details". */
export function ErrorFoot({ error }: { error: CommandError }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  return (
    <Group gap="xs" className={classes.foot}>
      <Text size="xs" c="dimmed" className="mono">
        {error.code}
      </Text>
      <Button
        size="compact-xs"
        variant="subtle"
        color="gray"
        leftSection={copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden />}
        onClick={() => void copyText(errorDetails(error)).then(setCopied)}
      >
        {copied ? t("copied") : t("failed.copy")}
      </Button>
    </Group>
  );
}

import { Button, Group, Stack, Text } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconCopy } from "@tabler/icons-react";
import { type ReactNode, Suspense, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { type CommandError, copyText, type MissingRole, type SettingProblem } from "@/platform";
import { useActionButton } from "./actions";
import { Disclosure } from "./Disclosure";
import { errorDetails } from "./details";
import classes from "./ErrorPanel.module.css";
import { NotBefore } from "./NotBefore";
import { useProblemWords } from "./useProblemWords";

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
  details,
  since,
  big = false,
}: {
  error: CommandError;
  /** For "try again": also offered when the error's own action leads elsewhere. */
  onRetry?: () => void;
  /** Instead of the button that the error's action asks for; `null`: none. */
  actions?: ReactNode;
  /** Instead of what exactly was seen. */
  details?: ReactNode;
  /** When it failed, by this page's clock, milliseconds; else when it is first shown. */
  since?: number;
  big?: boolean;
}) {
  const { title, text } = useErrorWords(error);
  const button = useActionButton(error, onRetry, big ? "lg" : undefined);
  const shown = actions === undefined ? button : actions;
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
          <ErrorFacts error={error} details={details} since={since} />
        </Stack>
      </Group>
      {shown && <div className={classes.actions}>{shown}</div>}
      <ErrorFoot error={error} />
    </section>
  );
}

/** What the words of a failure speak of: the role that is missing, the time to wait for, and the details. */
export function ErrorFacts({ error, details, since }: { error: CommandError; details?: ReactNode; since?: number }) {
  const until = useMemo(
    () => (error.retryAfterS == null ? undefined : (since ?? Date.now()) + error.retryAfterS * 1000),
    [error, since],
  );
  return (
    <>
      {error.missingRole && <Missing role={error.missingRole} />}
      {until !== undefined && <NotBefore at={until} />}
      {details ??
        (error.setting ? (
          <Suspense>
            <InSettings problem={error.setting} />
          </Suspense>
        ) : (
          <Seen error={error} />
        ))}
    </>
  );
}

function Missing({ role: { person, has, needs } }: { role: MissingRole }) {
  const { t } = useTranslation("codes");
  const named = (role: string) => t(`codes:roles.${role}` as never, { defaultValue: role }) as string;
  return <Text size="sm">{t("codes:missingRole", { person, has: named(has), needs: named(needs) })}</Text>;
}

/** Which setting, where it stands, and what is wrong with it. */
function InSettings({ problem: { key, problem, source, what, mend } }: { problem: SettingProblem }) {
  const words = useProblemWords();
  const place = source.from === "file" ? `${source.path}:${source.line}` : "name" in source ? source.name : undefined;
  return (
    <Text size="sm" className="mono">
      {[place, key, words(problem, key, `${what}. ${mend}`)].filter(Boolean).join(": ")}
    </Text>
  );
}

/** What exactly was seen, in English: the core keeps secrets out of it. */
function Seen({ error: { detail, requestId } }: { error: CommandError }) {
  const { t } = useTranslation();
  if (!detail && !requestId) return null;
  return (
    <Disclosure title={t("details")}>
      {detail && (
        <Text size="sm" className="mono" lang="en">
          {detail}
        </Text>
      )}
      {requestId && (
        <Text size="sm">
          {t("failed.request")} <span className="mono">{requestId}</span>
        </Text>
      )}
    </Disclosure>
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

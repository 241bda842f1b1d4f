import { Button } from "@mantine/core";
import { IconCheck, IconCopy, IconRefresh } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { type Ref, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Failure, Loading, Page, When } from "@/parts";
import { Chips } from "@/parts/Chips";
import { Disclosure } from "@/parts/Disclosure";
import { Facts } from "@/parts/Facts";
import { Mark } from "@/parts/Mark";
import { answered, useFocusKept } from "@/parts/useFocusKept";
import { type Check, copyText, type Report } from "@/platform";
import { useCall } from "@/platform/react";
import { formatNumber, formatSeconds } from "@/words";
import { MEANING, reportText, type Status, statusCounts, wayOfCheck } from "./checks";
import classes from "./Doctor.module.css";
import { LogsBundle } from "./LogsBundle";
import { useSeenWords } from "./useSeenWords";

/** Everything that a pairing stands on, checked at once: the same report as the command line's. */
export function DoctorScreen() {
  const { t } = useTranslation("doctor");
  const report = useCall("doctor", {});
  // Each report is a new one: it has been asked for.
  const verdict = useFocusKept(answered(report) && `${answered(report)} ${report.dataUpdatedAt}`);
  return (
    <Page
      title={t("title")}
      actions={
        <Button
          leftSection={<IconRefresh size={16} stroke={1.75} aria-hidden />}
          loading={report.isFetching}
          onClick={() => void report.refetch()}
        >
          {t("again")}
        </Button>
      }
    >
      {report.isPending ? (
        <>
          <p className={classes.note}>{t("running")}</p>
          <Loading rows={8} height={52} />
        </>
      ) : report.isError ? (
        <Failure error={report.error} onRetry={() => void report.refetch()} />
      ) : (
        <Shown report={report.data} verdict={verdict} />
      )}
      <LogsBundle />
    </Page>
  );
}

function Shown({ report, verdict }: { report: Report; verdict: Ref<HTMLElement> }) {
  const { t, i18n } = useTranslation(["doctor", "codes"]);
  const [filter, setFilter] = useState<Status | "all">("all");
  const counts = statusCounts(report.checks);
  const shown = report.checks.filter((check) => filter === "all" || check.status === filter);
  const worst = report.worst === "skipped" ? "ok" : report.worst;
  return (
    <>
      <section ref={verdict} className={classes.verdict} data-worst={worst} role="status">
        <Mark meaning={MEANING[worst]} size={24}>
          {t(`doctor:verdict.${worst}`)}
        </Mark>
        <span className={`${classes.note} figures`}>
          <When at={report.at} /> · {t("doctor:took", { time: formatSeconds(i18n.language, report.seconds, true) })} ·{" "}
          <span className="mono">{report.version}</span>
        </span>
      </section>
      <Chips
        label={t("doctor:filter")}
        value={filter}
        onChange={setFilter}
        chips={[
          { value: "all" as const, label: t("doctor:all"), count: report.checks.length },
          ...counts.map(([status, count]) => ({ value: status, label: t(`doctor:status.${status}`), count })),
        ]}
      />
      <ul className={classes.checks} aria-label={t("doctor:checks")}>
        {shown.map((check) => (
          <CheckRow key={check.topic} check={check} />
        ))}
      </ul>
      {report.circuits?.some((circuit) => circuit.state !== "closed") && (
        <section className={classes.circuits}>
          <h2>{t("doctor:circuits")}</h2>
          <ul>
            {report.circuits
              .filter((circuit) => circuit.state !== "closed")
              .map((circuit) => (
                <li key={circuit.endpoint}>
                  <Mark meaning="waiting">{t(`codes:circuits.${circuit.state}`, { endpoint: circuit.endpoint })}</Mark>
                  <span className={`${classes.note} figures`}>
                    {t("doctor:failures", { count: circuit.failures })}
                    {circuit.againInMs != null &&
                      ` · ${t("doctor:againIn", { time: formatSeconds(i18n.language, circuit.againInMs / 1000) })}`}
                  </span>
                </li>
              ))}
          </ul>
        </section>
      )}
      <CopyReport report={report} />
    </>
  );
}

/** What a check found in this language; the core's own English where its code is not known here. */
function useCheckWords(check: Check): { text: string; mend?: string | null } {
  const { t, i18n } = useTranslation("codes");
  const of = `codes:findings.${check.code}`;
  if (i18n.exists(`${of}.text`)) {
    return {
      text: t(`codes:findings.${check.code}.text` as never),
      mend: i18n.exists(`${of}.mend`) ? t(`codes:findings.${check.code}.mend` as never) : undefined,
    };
  }
  if (i18n.exists(`codes:errors.${check.code}.title`)) {
    return {
      text: t(`codes:errors.${check.code}.title` as never),
      mend: t(`codes:errors.${check.code}.text` as never),
    };
  }
  return { text: check.text, mend: check.mend };
}

function CheckRow({ check }: { check: Check }) {
  const { t, i18n } = useTranslation(["doctor", "codes"]);
  const navigate = useNavigate();
  const words = useCheckWords(check);
  const seen = useSeenWords()(check);
  const way = wayOfCheck(check);
  const bad = check.status === "failed" || check.status === "warning";
  return (
    <li className={classes.check} data-status={check.status} data-code={check.code}>
      <span className={classes.status}>
        <Mark meaning={MEANING[check.status]}>{t(`doctor:status.${check.status}`)}</Mark>
      </span>
      <div className={classes.what}>
        <h2>
          {t(`codes:topics.${check.topic}`)}
          <span>{words.text}</span>
        </h2>
        {bad && words.mend && <p>{words.mend}</p>}
        {bad && way && (
          <Button size="sm" variant="default" onClick={() => void navigate({ to: way.to })}>
            {t(`doctor:go.${way.name}`)}
          </Button>
        )}
        {bad ? (
          <Disclosure title={t("doctor:details")}>
            <Facts
              rows={[
                [t("doctor:seen"), seen.length > 0 && <SeenLines key="seen" lines={seen} />],
                [
                  t("doctor:code"),
                  <span key="code" className="mono">
                    {check.code}
                  </span>,
                ],
              ]}
            />
          </Disclosure>
        ) : (
          seen.length > 0 && <span className={classes.note}>{seen.join(" · ")}</span>
        )}
      </div>
      <span className={`${classes.seconds} figures`}>
        {check.seconds >= 0.001 ? `${formatNumber(i18n.language, check.seconds * 1000)} ms` : ""}
      </span>
    </li>
  );
}

function SeenLines({ lines }: { lines: string[] }) {
  return lines.map((line, index) => (
    // Lines never move, and two may be the same.
    // biome-ignore lint/suspicious/noArrayIndexKey: as said above
    <span key={index} className={classes.line}>
      {line}
    </span>
  ));
}

function CopyReport({ report }: { report: Report }) {
  const { t } = useTranslation("doctor");
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <div>
      <Button
        variant="subtle"
        color="gray"
        leftSection={copied ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />}
        onClick={() => void copyText(reportText(report)).then(setCopied)}
      >
        <span aria-live="polite">{t(copied ? "copied" : "copy")}</span>
      </Button>
    </div>
  );
}

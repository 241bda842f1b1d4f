import { Button } from "@mantine/core";
import { IconChevronLeft } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, ErrorPanel, Failure, Loading, Page, When } from "@/parts";
import cards from "@/parts/Cards.module.css";
import { Facts } from "@/parts/Facts";
import { Mark } from "@/parts/Mark";
import { useDpsWords } from "@/parts/useDpsWords";
import { answered, useFocusKept } from "@/parts/useFocusKept";
import { asCommandError, type JournalEntry, platform } from "@/platform";
import { useCall } from "@/platform/react";
import { formatNumber } from "@/words";
import classes from "./Journal.module.css";
import { happenings, hubOf, hubsDiffer, isUntold, stateMeaning } from "./meaning";

/** One pairing: the three facts side by side, and what happened when. */
export function JournalEntryScreen({ handoffId }: { handoffId: string }) {
  const { t } = useTranslation("journal");
  const entry = useCall("journal_entry", { handoffId });
  useFocusKept(answered(entry));
  const title = entry.data ? (entry.data.registrationId ?? entry.data.name) : t("title");
  return (
    <Page title={title}>
      <Link to="/journal" className={classes.back}>
        <IconChevronLeft size={16} stroke={1.75} aria-hidden />
        {t("back")}
      </Link>
      {entry.isPending ? (
        <Loading rows={3} height={120} />
      ) : entry.isError ? (
        <Failure error={entry.error} onRetry={() => void entry.refetch()} />
      ) : (
        <Shown entry={entry.data} />
      )}
    </Page>
  );
}

function Shown({ entry }: { entry: JournalEntry }) {
  const { t, i18n } = useTranslation(["journal", "codes"]);
  const navigate = useNavigate();
  const hub = hubOf(entry);
  const again = useMutation({
    mutationFn: (labelId: string) => platform.call("pairing_start", { labelId, link: entry.link }),
    onSuccess: ({ pairingId }) => navigate({ to: "/pair/$pairingId", params: { pairingId } }),
  });
  // While the label is known the pairing goes on at once; otherwise it is scanned first.
  const pair = () => (entry.labelId ? again.mutate(entry.labelId) : void navigate({ to: "/" }));
  const error = entry.error && (entry.state === "open" || entry.state === "failed") ? entry.error : undefined;
  return (
    <>
      <section className={classes.top}>
        <div className={classes.verdict}>
          <Mark meaning={stateMeaning(entry.state)} size={24}>
            {t(isUntold(entry) ? "journal:states.untold" : `journal:states.${entry.state}`)}
          </Mark>
          {hub && <CopyId value={hub} label={t("journal:fields.hub")} />}
          {error && (
            <p>
              <strong>{t(`codes:errors.${error.code}.title`, { defaultValue: error.code })}.</strong>{" "}
              {t(`codes:errors.${error.code}.text`, { defaultValue: "" })}
            </p>
          )}
          {isUntold(entry) && <p>{t("journal:untoldNote")}</p>}
          {entry.state === "open" && !isUntold(entry) && (
            <p>{t(entry.labelId ? "journal:continueHere" : "journal:continueNote")}</p>
          )}
        </div>
        {entry.state !== "assigned" && (
          <Button loading={again.isPending} onClick={pair}>
            {t(entry.state === "open" ? "journal:continue" : "journal:pairAgain")}
          </Button>
        )}
      </section>
      {again.isError && <ErrorPanel error={asCommandError(again.error)} onRetry={pair} />}
      {hubsDiffer(entry) && (
        <p className={cards.warning} role="alert">
          {t("journal:differ")}
        </p>
      )}
      <div className={`${cards.cards} ${classes.entry}`} data-together>
        <Given entry={entry} />
        <Acknowledged entry={entry} />
        <DpsSaid entry={entry} />
      </div>
      <div className={`${cards.cards} ${classes.entry}`} data-together>
        <TimeLine entry={entry} />
        <Card title={t("journal:columns.device")}>
          <Facts
            rows={[
              [t("journal:fields.registrationId"), entry.registrationId && <CopyId value={entry.registrationId} />],
              [t("journal:fields.name"), <CopyId key="name" value={entry.name} />],
              [t("journal:fields.model"), entry.model],
              [t("journal:fields.firmware"), entry.firmware],
              [t("journal:fields.link"), <CopyId key="link" value={entry.link} />],
              [t("journal:fields.handoffId"), <CopyId key="id" value={entry.handoffId} />],
              [t("journal:fields.runs"), formatNumber(i18n.language, entry.runs)],
            ]}
          />
        </Card>
      </div>
    </>
  );
}

function Card({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={cards.card} aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Given({ entry: { given, sent } }: { entry: JournalEntry }) {
  const { t } = useTranslation(["journal", "codes"]);
  const replaced =
    given && sent && (sent.idScope !== given.idScope || sent.globalDeviceEndpoint !== given.globalDeviceEndpoint);
  return (
    <Card title={t("journal:gaveTitle")}>
      {given ? (
        <Facts
          rows={[
            [t("journal:fields.dpsInstance"), <CopyId key="instance" value={given.dpsInstance} />],
            [t("journal:fields.idScope"), <CopyId key="scope" value={given.idScope} />],
            [t("journal:fields.endpoint"), <CopyId key="endpoint" value={given.globalDeviceEndpoint} />],
            [t("journal:fields.attestation"), t(`codes:attestations.${given.attestation}`)],
            [t("journal:fields.at"), <When key="at" at={given.at} />],
          ]}
        />
      ) : (
        <p className={cards.note}>{t("journal:gaveNone")}</p>
      )}
      {replaced && (
        <>
          <p className={cards.warning}>{t("journal:replaced")}</p>
          <Facts
            rows={[
              [t("journal:fields.idScope"), <CopyId key="scope" value={sent.idScope} />],
              [t("journal:fields.endpoint"), <CopyId key="endpoint" value={sent.globalDeviceEndpoint} />],
            ]}
          />
        </>
      )}
    </Card>
  );
}

function Acknowledged({ entry: { acknowledged, deviceSaid } }: { entry: JournalEntry }) {
  const { t } = useTranslation(["journal", "codes"]);
  const dps = useDpsWords();
  const { digest, stagedAt, committedAt } = acknowledged;
  return (
    <Card title={t("journal:ackTitle")}>
      {stagedAt || committedAt ? (
        <Facts
          rows={[
            [t("journal:events.staged"), stagedAt && <When at={stagedAt} />],
            [t("journal:events.committed"), committedAt && <When at={committedAt} />],
            [t("journal:fields.digest"), digest && <CopyId value={digest} />],
          ]}
        />
      ) : (
        <p className={cards.note}>{t("journal:ackNone")}</p>
      )}
      {deviceSaid && (
        <>
          <h3>{t("journal:deviceSaid")}</h3>
          <Facts
            rows={[
              [t("journal:fields.status"), t(`codes:phases.${deviceSaid.phase}`, { defaultValue: deviceSaid.phase })],
              [t("journal:fields.hub"), deviceSaid.hub && <CopyId value={deviceSaid.hub} />],
              [t("journal:fields.deviceId"), deviceSaid.deviceId && <CopyId value={deviceSaid.deviceId} />],
              [t("journal:fields.substatus"), deviceSaid.substatus && dps("substatus", deviceSaid.substatus)],
              [
                t("journal:lastError"),
                deviceSaid.code && t(`codes:errors.${deviceSaid.code}.title`, { defaultValue: deviceSaid.code }),
              ],
              [t("journal:fields.words"), deviceSaid.text],
              [t("journal:fields.at"), <When key="at" at={deviceSaid.at} />],
            ]}
          />
          {deviceSaid.rolledBack && <p className={cards.note}>{t("journal:rolledBack")}</p>}
        </>
      )}
    </Card>
  );
}

function DpsSaid({ entry: { dpsSaid, deviceSaid } }: { entry: JournalEntry }) {
  const { t } = useTranslation("journal");
  const dps = useDpsWords();
  return (
    <Card title={t("dpsTitle")}>
      {dpsSaid ? (
        <Facts
          rows={[
            [t("fields.status"), dps("status", dpsSaid.status)],
            [t("fields.hub"), dpsSaid.hub && <CopyId value={dpsSaid.hub} />],
            [t("fields.deviceId"), dpsSaid.deviceId && <CopyId value={dpsSaid.deviceId} />],
            [t("fields.at"), <When key="at" at={dpsSaid.at} />],
          ]}
        />
      ) : (
        <p className={cards.note}>{t(deviceSaid ? "dpsNotNeeded" : "dpsNone")}</p>
      )}
    </Card>
  );
}

function TimeLine({ entry }: { entry: JournalEntry }) {
  const { t } = useTranslation(["journal", "codes"]);
  const dps = useDpsWords();
  const code = entry.error?.code ?? "";
  return (
    <Card title={t("journal:timeline")}>
      <ol className={classes.line}>
        {happenings(entry).map(({ at, what, meaning }) => (
          <li key={what}>
            <Mark meaning={meaning} size={16}>
              {t(`journal:events.${what}`, {
                status: dps("status", entry.dpsSaid?.status ?? ""),
                what: t(`codes:errors.${code}.title`, { defaultValue: code }),
              })}
            </Mark>
            <When at={at} />
          </li>
        ))}
      </ol>
    </Card>
  );
}

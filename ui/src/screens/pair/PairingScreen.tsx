import { Button, Group, Modal, Text } from "@mantine/core";
import { IconAlertTriangle, IconCheck } from "@tabler/icons-react";
import { Link, useNavigate } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, ErrorPanel, Failure, Loading, Page } from "@/parts";
import { asCommandError, type CommandError, type PairingStart, platform } from "@/platform";
import { formatSeconds, plainName } from "@/words";
import { Details } from "./Details";
import { KindIcon } from "./KindIcon";
import classes from "./PairingScreen.module.css";
import { active, type Paired, type Progress, type Warning } from "./progress";
import { StepsLine } from "./StepsLine";
import { setSiteWifi, startOf, startPairing, type Wifi } from "./starts";
import { WifiForm } from "./WifiForm";
import { useNow, usePairing, type Watched } from "./watch";

/** Errors that a person may decide to go past, and what is then allowed. */
const PAST: Record<string, Partial<PairingStart>> = {
  "security-none-refused": { allowSecurity0: true },
  "security-downgrade": { allowDowngrade: true },
};

/** One pairing: each step as it happens, and at its end the one thing to do next. */
export function PairingScreen({ pairingId }: { pairingId: string }) {
  const watched = usePairing(pairingId);
  return (
    <>
      {/* There from the start: what comes into a page together with its words is not read out. */}
      <Announcer progress={watched.progress} name={nameOf(watched)} />
      <Pairing pairingId={pairingId} watched={watched} />
    </>
  );
}

const nameOf = ({ progress, seen }: Watched) => plainName(progress?.name ?? seen?.name ?? "");

function Pairing({ pairingId, watched }: { pairingId: string; watched: Watched }) {
  const { t } = useTranslation("pair");
  const navigate = useNavigate();
  const { seen, progress, error, lost } = watched;
  const [again, setAgain] = useState<{ busy: boolean; error?: CommandError }>({ busy: false });
  const name = nameOf(watched);
  const end = progress?.end;
  const now = useNow(progress !== undefined && !end);

  // The end stands above what was looked at: it is brought into sight, and the keyboard is there: at its heading, where what
  // it offers does not take the keys itself.
  const outcome = useRef<HTMLDivElement>(null);
  const ended = end !== undefined;
  useEffect(() => {
    if (!ended) return;
    document.getElementById("content")?.scrollTo(0, 0);
    if (outcome.current?.contains(document.activeElement)) return;
    const heading = outcome.current?.querySelector("h2");
    heading?.setAttribute("tabindex", "-1");
    heading?.focus({ preventScroll: true });
  }, [ended]);

  const next = () => void navigate({ to: "/" });
  const start: PairingStart | undefined = startOf(pairingId) ?? (seen && { labelId: seen.labelId, link: seen.link });
  const restart = async (change: Partial<PairingStart> = {}) => {
    if (!start) return next();
    setAgain({ busy: true });
    try {
      const fresh = await startPairing({ ...start, ...change });
      await navigate({ to: "/pair/$pairingId", params: { pairingId: fresh }, replace: true });
    } catch (thrown) {
      setAgain({ busy: false, error: asCommandError(thrown) });
    }
  };

  // A Wi-Fi that a device joined is the site's: the next device is given it too.
  const joined = progress?.steps.some((line) => line.step === "network" && line.state === "done");
  const tried = startOf(pairingId)?.wifi;
  useEffect(() => {
    if (joined && tried) setSiteWifi(tried);
  }, [joined, tried]);

  if (error) {
    return (
      <Page title={t("title")} narrow>
        <Failure error={error} />
        <Button size="lg" onClick={next}>
          {t("another")}
        </Button>
      </Page>
    );
  }
  if (!progress) {
    return (
      <Page title={t("title")} narrow>
        <Loading rows={6} height={32} />
      </Page>
    );
  }
  return (
    <Page
      title={name || t("title")}
      narrow
      lead={<KindIcon link={progress.link ?? seen?.link} size={32} />}
      sub={<Sub progress={progress} demo={seen?.demo ?? false} />}
    >
      {end && (
        <div ref={outcome} className={classes.outcome}>
          {end.kind === "finished" && <Success paired={end.paired} onNext={next} />}
          {end.kind === "network" && <Success onNext={next} />}
          {end.kind === "failed" && (
            <Failed
              error={end.error}
              since={end.at}
              busy={again.busy}
              onAgain={restart}
              onNext={next}
              wifi={
                end.error.action === "check-wifi" && start ? (
                  <WifiForm
                    error={end.error}
                    device={{
                      labelId: start.labelId,
                      link: start.link,
                      // Without a protection that the pairing was begun without, too.
                      allowSecurity0: start.allowSecurity0,
                      allowDowngrade: start.allowDowngrade,
                    }}
                    before={tried ?? undefined}
                    onWifi={(wifi: Wifi) => void restart({ wifi })}
                  />
                ) : undefined
              }
            />
          )}
        </div>
      )}
      {again.error && <ErrorPanel error={again.error} onRetry={() => void restart()} />}
      <Warnings warnings={progress.warnings} />
      <div className={classes.card} data-quiet={end ? true : undefined}>
        <StepsLine steps={progress.steps} now={now} ended={end !== undefined} />
        {lost && (
          <Text size="sm" c="dimmed" role="status">
            {t("lost")}
          </Text>
        )}
      </div>
      {!end && <Cancel pairingId={pairingId} />}
      <Details facts={progress.facts} />
    </Page>
  );
}

function Sub({ progress, demo }: { progress: Progress; demo: boolean }) {
  const { t } = useTranslation("pair");
  const model = progress.facts.find((fact) => fact.name === "model")?.value;
  return (
    <Text size="sm" c="dimmed" className={classes.sub}>
      {[demo && t("simulated"), model && plainName(model), progress.resumed && t("resumed")]
        .filter(Boolean)
        .join(" · ") ||
        progress.link ||
        "\u00a0"}
    </Text>
  );
}

/** Says each step and the end to whoever does not see the page. */
function Announcer({ progress, name }: { progress?: Progress; name: string }) {
  const { t } = useTranslation("pair");
  const step = progress && active(progress);
  const end = progress?.end;
  const say =
    end?.kind === "finished"
      ? t("say.finished", { name, hub: end.paired.hub })
      : end?.kind === "network"
        ? t("say.network", { name })
        : end?.kind === "failed" && end.error.code === "cancelled"
          ? t("cancelled.text")
          : !end && step
            ? t(`steps.${step.step}.now`)
            : "";
  return (
    <div className="unseen" role="status" aria-live="polite" data-testid="announcer">
      {say}
    </div>
  );
}

/** Seen from two metres: the tick, the hub, and the way on. */
function Success({ paired, onNext }: { paired?: Paired; onNext: () => void }) {
  const { t, i18n } = useTranslation("pair");
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    button.current?.focus();
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.([60, 60, 120]);
  }, []);
  return (
    <section className={classes.success} aria-labelledby="paired">
      <span className={classes.tick} aria-hidden>
        <IconCheck size={56} stroke={2.5} />
      </span>
      <h2 id="paired" className={classes.done}>
        {t(paired ? "success.paired" : "success.network")}
      </h2>
      {paired && (
        <>
          <p id="paired-with" className={classes.hub}>
            <span className={classes.hubName}>{paired.hub.split(".")[0]}</span>
            <CopyId value={paired.hub} label={t("facts.hub")} />
          </p>
          <Text size="sm" className={classes.as}>
            {t("success.as", { deviceId: paired.deviceId, time: formatSeconds(i18n.language, paired.seconds, true) })}
          </Text>
        </>
      )}
      <Button
        ref={button}
        size="xl"
        color="green"
        fullWidth
        aria-describedby={paired ? "paired paired-with" : "paired"}
        onClick={onNext}
      >
        {t("nextDevice")}
      </Button>
    </section>
  );
}

function Failed({
  error,
  since,
  busy,
  wifi,
  onAgain,
  onNext,
}: {
  error: CommandError;
  since: number;
  busy: boolean;
  /** In place of the panel, where the device wants another Wi-Fi. */
  wifi?: ReactNode;
  onAgain: (change?: Partial<PairingStart>) => Promise<void>;
  onNext: () => void;
}) {
  const { t } = useTranslation("pair");
  const past = PAST[error.code];
  if (error.code === "cancelled") {
    return (
      <section className={classes.cancelled} aria-labelledby="cancelled">
        <Text id="cancelled" fw={600} size="lg" component="h2" m={0}>
          {t("cancelled.title")}
        </Text>
        <Text>{t("cancelled.text")}</Text>
        <div className={classes.two}>
          <Button size="lg" variant="default" loading={busy} onClick={() => void onAgain()}>
            {t("cancelled.go")}
          </Button>
          <Button size="lg" onClick={onNext}>
            {t("another")}
          </Button>
        </div>
      </section>
    );
  }
  return (
    <>
      {wifi ?? <ErrorPanel error={error} since={since} big onRetry={() => void onAgain()} />}
      <Group gap="xs" justify="center">
        {past && <Past error={error} onPast={() => void onAgain(past)} />}
        <Button variant="subtle" color="gray" component={Link} to="/">
          {t("another")}
        </Button>
      </Group>
    </>
  );
}

/** Going past a protection: said once more what that means, then done. */
function Past({ error, onPast }: { error: CommandError; onPast: () => void }) {
  const { t } = useTranslation("pair");
  const [asked, setAsked] = useState(false);
  return (
    <>
      <Button variant="subtle" color="red" onClick={() => setAsked(true)}>
        {t("past.open")}
      </Button>
      <Modal
        opened={asked}
        onClose={() => setAsked(false)}
        title={t("past.title")}
        closeButtonProps={{ "aria-label": t("common:close") }}
        centered
      >
        <Text>{t(error.code === "security-downgrade" ? "past.downgrade" : "past.none")}</Text>
        <Group justify="flex-end" mt="lg">
          <Button variant="default" data-autofocus onClick={() => setAsked(false)}>
            {t("common:cancel")}
          </Button>
          <Button color="red" onClick={onPast}>
            {t("past.go")}
          </Button>
        </Group>
      </Modal>
    </>
  );
}

function Warnings({ warnings }: { warnings: readonly Warning[] }) {
  const { t } = useTranslation("codes");
  if (warnings.length === 0) return null;
  return (
    <ul className={classes.warnings}>
      {warnings.map((warning) => (
        <li key={warning.warning}>
          <IconAlertTriangle size={20} stroke={1.75} aria-hidden />
          <span>{String(t(`codes:warnings.${warning.warning}` as never, warning as never))}</span>
        </li>
      ))}
    </ul>
  );
}

function Cancel({ pairingId }: { pairingId: string }) {
  const { t } = useTranslation("pair");
  const [state, setState] = useState<{ busy: boolean; error?: CommandError }>({ busy: false });
  return (
    <>
      <Button
        size="lg"
        variant="default"
        fullWidth
        loading={state.busy}
        onClick={() => {
          setState({ busy: true });
          platform
            .call("pairing_cancel", { pairingId })
            .catch((thrown) => setState({ busy: false, error: asCommandError(thrown) }));
        }}
      >
        {t("common:cancel")}
      </Button>
      {state.error && <ErrorPanel error={state.error} />}
    </>
  );
}

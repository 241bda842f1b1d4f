import { Text, Title, UnstyledButton } from "@mantine/core";
import { IconWifi } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorPanel } from "@/parts/ErrorPanel";
import { Failure } from "@/parts/Failure";
import { Loading } from "@/parts/Loading";
import { Page } from "@/parts/Page";
import { Scanner } from "@/parts/scanner";
import { useFocusKept } from "@/parts/useFocusKept";
import { asCommandError, type CommandError, type LabelSeen, type NearbyDevice, platform } from "@/platform";
import { callOptions, useSnapshots } from "@/platform/react";
import { WelcomeScreen } from "@/screens/welcome/WelcomeScreen";
import { useStanding } from "@/shell/standing";
import { plainName } from "@/words";
import { NearbyList } from "./NearbyList";
import classes from "./PairScreen.module.css";
import { setSiteWifi, startPairing, useSiteWifi } from "./starts";

const CodeDialog = lazy(() => import("./CodeDialog"));
const LinkDialog = lazy(() => import("./LinkDialog"));

/** The first screen: pair a device, or, where nobody is signed in, what it takes to begin. */
export function PairScreen() {
  const { latest, error } = useStanding();
  const { t } = useTranslation("pair");
  const ready =
    latest && (latest.demo.state === "on" || latest.byToken || (latest.account && !latest.account.signedOut));
  useFocusKept(latest && (ready ? "pair" : "welcome"));
  if (!latest) {
    return (
      <Page title={t("title")} narrow>
        {error ? <Failure error={error} /> : <Loading rows={3} height={96} />}
      </Page>
    );
  }
  return ready ? <Pair /> : <WelcomeScreen standing={latest} />;
}

function Pair() {
  const { t } = useTranslation("pair");
  const navigate = useNavigate();
  const { latest: standing } = useStanding();
  const nearby = useSnapshots("nearby", {});
  const wifi = useSiteWifi();
  const [busy, setBusy] = useState<string>();
  const [failed, setFailed] = useState<{ error: CommandError; again?: () => void }>();
  const [asking, setAsking] = useState<NearbyDevice>();
  const [linkless, setLinkless] = useState<LabelSeen>();

  const run = useCallback(async (what: string, work: () => Promise<void>) => {
    setBusy(what);
    setFailed(undefined);
    try {
      await work();
    } catch (thrown) {
      setFailed({ error: asCommandError(thrown), again: () => void run(what, work) });
    } finally {
      setBusy(undefined);
    }
  }, []);

  const pair = useCallback(
    async (labelId: string, link?: string) => {
      const pairingId = await startPairing({ labelId, link });
      await navigate({ to: "/pair/$pairingId", params: { pairingId } });
    },
    [navigate],
  );

  const withLabel = useCallback(
    async (label: LabelSeen) => {
      if (label.link) return pair(label.labelId);
      setLinkless(label);
    },
    [pair],
  );

  const onText = useCallback(
    (text: string) =>
      void run("label", async () => {
        // An invite goes to the sign-in as it is: whoever scans one wants that.
        if (/^\s*lowtouch:invite/i.test(text)) {
          await navigate({ to: "/sign-in", state: { invite: text } as never });
          return;
        }
        await withLabel(await platform.call("label_read", { text }));
      }),
    [run, withLabel, navigate],
  );
  const onPicture = useCallback(
    (base64: string) => void run("label", async () => withLabel(await platform.call("label_read_picture", { base64 }))),
    [run, withLabel],
  );
  const onChoose = (device: NearbyDevice) => {
    const { labelId } = device;
    if (labelId) void run(device.link, () => pair(labelId, device.link));
    else setAsking(device);
  };

  const demo = standing?.demo.state === "on";
  const scanner = <Scanner onText={onText} onPicture={onPicture} busy={busy === "label"} />;
  const list = (
    <section aria-labelledby="nearby" className={classes.section}>
      <Title order={2} id="nearby" size="h3">
        {t(demo ? "nearby.demo" : "nearby.title")}
      </Title>
      {nearby.error && !nearby.latest ? (
        <Failure error={nearby.error} />
      ) : (
        <NearbyList nearby={nearby.latest} busy={busy} onChoose={onChoose} />
      )}
    </section>
  );
  return (
    <Page title={t("title")} narrow>
      <Running />
      {failed && (
        <ErrorPanel
          error={failed.error}
          onRetry={failed.again}
          actions={failed.error.action === "check-label" || failed.error.action === "check-link" ? null : undefined}
        />
      )}
      {/* The demo has no labels to scan: its devices are what there is to press. */}
      {demo ? list : scanner}
      {wifi && (
        <div className={classes.wifi}>
          <IconWifi size={20} stroke={1.75} aria-hidden />
          <Text size="sm" className={classes.grow}>
            {t("siteWifi.text", { ssid: wifi.ssid })}
          </Text>
          <UnstyledButton className={classes.forget} onClick={() => setSiteWifi(undefined)}>
            {t("siteWifi.forget")}
          </UnstyledButton>
        </div>
      )}
      {demo ? scanner : list}
      {standing && standing.unfinished > standing.running && (
        <Text size="sm" c="dimmed">
          <Link to="/journal" className={classes.link}>
            {t("unfinished", { count: standing.unfinished - standing.running })}
          </Link>
        </Text>
      )}
      <Suspense>
        {asking && (
          <CodeDialog
            device={asking}
            onClose={() => setAsking(undefined)}
            onLabel={(label) => {
              setAsking(undefined);
              void run(asking.link, () => pair(label.labelId, asking.link));
            }}
          />
        )}
        {linkless && (
          <LinkDialog
            label={linkless}
            nearby={nearby.latest}
            onClose={() => setLinkless(undefined)}
            onLink={(link) => {
              setLinkless(undefined);
              void run("label", () => pair(linkless.labelId, link));
            }}
          />
        )}
      </Suspense>
    </Page>
  );
}

/** How old the step of a pairing that runs elsewhere may be. */
const STEP_SHOWN_MS = 2_000;

/** Pairings that run while somebody looks elsewhere. */
function Running() {
  const { t } = useTranslation("pair");
  const { latest: standing } = useStanding();
  const running = standing?.running ?? 0;
  const pairings = useQuery({
    ...callOptions("pairings", {}),
    enabled: running > 0,
    refetchInterval: STEP_SHOWN_MS,
  });
  const shown = pairings.data?.filter((pairing) => pairing.state === "running") ?? [];
  if (running === 0 || shown.length === 0) return null;
  return (
    <section className={classes.section} aria-label={t("running.title")}>
      {shown.slice(0, 3).map((pairing) => (
        <Link
          key={pairing.pairingId}
          to="/pair/$pairingId"
          params={{ pairingId: pairing.pairingId }}
          className={classes.running}
        >
          <span className={classes.dot} aria-hidden />
          <span className={classes.grow}>{t("running.one", { name: plainName(pairing.name) })}</span>
          {pairing.step && (
            <Text component="span" size="sm" c="dimmed">
              {t(`steps.${pairing.step}.now`)}
            </Text>
          )}
        </Link>
      ))}
      {shown.length > 3 && (
        <Link to="/bench" className={classes.link}>
          {t("running.more", { count: shown.length - 3 })}
        </Link>
      )}
    </section>
  );
}

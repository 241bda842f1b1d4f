import { Button, Text, UnstyledButton } from "@mantine/core";
import { IconLayoutGrid, IconPlayerPlay, IconPlus, IconRefresh, IconWifi } from "@tabler/icons-react";
import { lazy, Suspense, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Empty } from "@/parts/Empty";
import { Loading } from "@/parts/Loading";
import { Page } from "@/parts/Page";
import { platform } from "@/platform";
import { useSiteWifi } from "@/screens/pair/starts";
import { formatNumber } from "@/words";
import classes from "./BenchScreen.module.css";
import { BenchTile } from "./BenchTile";
import { bench, useOrder, useTotals } from "./bench";

const AddDevices = lazy(() => import("./AddDevices"));
const RefusedDialog = lazy(() => import("./RefusedDialog"));
const SiteWifiDialog = lazy(() => import("./SiteWifiDialog"));

/** Many devices at once: put them on the bench, start, watch. */
export function BenchScreen() {
  const { t, i18n } = useTranslation("bench");
  const order = useOrder();
  const totals = useTotals();
  const wifi = useSiteWifi();
  const [adding, setAdding] = useState(false);
  const [askWifi, setAskWifi] = useState(false);
  const [refused, setRefused] = useState<string>();

  useEffect(() => {
    const stop = new AbortController();
    platform.call("pairings", {}, stop.signal).then(bench.adopt, () => undefined);
    return () => stop.abort();
  }, []);

  const empty = order.length === 0;
  return (
    <Page
      title={t("title")}
      actions={
        !empty && (
          <Button
            variant="default"
            leftSection={<IconPlus size={18} aria-hidden />}
            aria-expanded={adding}
            onClick={() => setAdding(!adding)}
          >
            {t("add.open")}
          </Button>
        )
      }
    >
      {empty && !adding && (
        <Empty
          icon={IconLayoutGrid}
          title={t("empty.title")}
          action={
            <Button size="lg" leftSection={<IconPlus size={20} aria-hidden />} onClick={() => setAdding(true)}>
              {t("add.open")}
            </Button>
          }
        >
          {t("empty.text")}
        </Empty>
      )}
      {adding && (
        <Suspense fallback={<Loading rows={2} height={120} />}>
          <AddDevices onDone={() => setAdding(false)} />
        </Suspense>
      )}
      {!empty && (
        <>
          <div className={classes.bar}>
            <dl className={classes.totals} aria-label={t("totals.title")}>
              {(["ready", "running", "paired", "failed"] as const).map((name) => (
                <div key={name} data-total={name} data-zero={totals[name] === 0 || undefined}>
                  <dt>{t(`totals.${name}`)}</dt>
                  <dd className="figures">{formatNumber(i18n.language, totals[name])}</dd>
                </div>
              ))}
            </dl>
            <div className={classes.actions}>
              <UnstyledButton className={classes.wifi} onClick={() => setAskWifi(true)}>
                <IconWifi size={18} stroke={1.75} aria-hidden />
                {wifi ? t("wifi.set", { ssid: wifi.ssid }) : t("wifi.none")}
              </UnstyledButton>
              {totals.paired > 0 && totals.running === 0 && (
                <Button variant="default" onClick={() => bench.clear("paired")}>
                  {t("clear", { count: totals.paired })}
                </Button>
              )}
              {totals.failed > 0 && (
                <Button
                  variant="default"
                  leftSection={<IconRefresh size={18} aria-hidden />}
                  onClick={() => bench.start("failed")}
                >
                  {t("again", { count: totals.failed })}
                </Button>
              )}
              {totals.running > 0 && (
                <Button variant="default" onClick={() => bench.stop()}>
                  {t("stop")}
                </Button>
              )}
              {totals.ready > 0 && (
                <Button
                  leftSection={<IconPlayerPlay size={18} aria-hidden />}
                  onClick={() => {
                    setAdding(false);
                    bench.start("ready");
                  }}
                >
                  {t("start", { count: totals.ready })}
                </Button>
              )}
            </div>
          </div>
          <Progress done={totals.paired} failed={totals.failed} all={totals.all} />
          <ul className={classes.grid} aria-label={t("devices")}>
            {order.map((key) => (
              <BenchTile key={key} id={key} onRefused={setRefused} />
            ))}
          </ul>
        </>
      )}
      <Suspense>
        {askWifi && <SiteWifiDialog onClose={() => setAskWifi(false)} />}
        {refused && (
          <RefusedDialog
            id={refused}
            onClose={() => setRefused(undefined)}
            onScan={() => {
              setRefused(undefined);
              setAdding(true);
              document.getElementById("content")?.scrollTo(0, 0);
            }}
            onWifi={() => {
              setRefused(undefined);
              setAskWifi(true);
            }}
          />
        )}
      </Suspense>
    </Page>
  );
}

function Progress({ done, failed, all }: { done: number; failed: number; all: number }) {
  const { t } = useTranslation("bench");
  return (
    <div>
      <div
        className={classes.progress}
        role="progressbar"
        aria-valuemin={0}
        aria-valuemax={all}
        aria-valuenow={done}
        aria-label={t("totals.title")}
      >
        <span data-part="paired" style={{ transform: `scaleX(${done / all})` }} />
        <span data-part="failed" style={{ transform: `translateX(${(100 * done) / all}%) scaleX(${failed / all})` }} />
      </div>
      <Text size="sm" c="dimmed" className="figures" role="status">
        {t("totals.of", { done, count: all })}
      </Text>
    </div>
  );
}

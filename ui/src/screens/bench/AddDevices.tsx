import { Button, Text, Title } from "@mantine/core";
import { lazy, Suspense, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorPanel } from "@/parts/ErrorPanel";
import { Scanner } from "@/parts/scanner";
import { asCommandError, type CommandError, type LabelSeen, type NearbyDevice, platform } from "@/platform";
import { useSnapshots } from "@/platform/react";
import { canBePaired, NearbyList } from "@/screens/pair/NearbyList";
import { useDemo } from "@/screens/welcome/demo";
import { useStanding } from "@/shell/standing";
import { plainName } from "@/words";
import classes from "./AddDevices.module.css";
import { bench } from "./bench";

const CodeDialog = lazy(() => import("@/screens/pair/CodeDialog"));

/** As many simulated devices as a demo has at most. */
const MOST = 32;

/** Puts devices on the bench: the camera goes on scanning, many texts are pasted at once, those nearby are chosen. */
export default function AddDevices({ onDone }: { onDone: () => void }) {
  const { t } = useTranslation(["bench", "pair"]);
  const { latest: standing } = useStanding();
  const nearby = useSnapshots("nearby", {});
  const demo = useDemo();
  const [asking, setAsking] = useState<NearbyDevice>();
  const [told, setTold] = useState<{ name?: string; how?: "added" | "replaced" | "already"; error?: CommandError }>({});
  const [added, setAdded] = useState(0);
  // One after the other: a long paste must not flood the core.
  const queue = useRef<Promise<unknown>>(Promise.resolve());
  // Which label a text was: what is on the bench is not read again each time that the camera sees it.
  const labels = useRef(new Map<string, string>());

  const put = (label: Pick<LabelSeen, "labelId" | "name" | "link">, link = label.link) => {
    const how = bench.add({ key: label.labelId, name: label.name, link });
    if (how === "added") setAdded((count) => count + 1);
    setTold({ name: label.name, how });
  };
  const read = (work: () => Promise<LabelSeen>): Promise<CommandError | undefined> => {
    const reading = queue.current.then(async () => {
      try {
        put(await work());
        return undefined;
      } catch (thrown) {
        return asCommandError(thrown);
      }
    });
    queue.current = reading;
    return reading;
  };
  const tell = (error: CommandError | undefined) => {
    if (error) setTold({ error });
  };
  const known = (nearby.latest?.devices ?? []).filter(
    (device) => device.labelId && canBePaired(device) && !device.provisioned,
  );
  const choose = (device: NearbyDevice) => {
    if (device.labelId) put({ labelId: device.labelId, name: device.name ?? device.link, link: device.link });
    else setAsking(device);
  };

  return (
    <section className={classes.add} aria-labelledby="add">
      <Title order={2} id="add">
        {t("add.title")}
      </Title>
      <div className={classes.ways}>
        <div className={classes.way}>
          <Scanner
            onEach={async (text, from) => {
              const before = bench.tile(labels.current.get(text) ?? "");
              if (before && before.state !== "failed") {
                setTold({ name: before.name, how: "already" });
                return undefined;
              }
              const error = await read(async () => {
                const label = await platform.call("label_read", { text });
                labels.current.set(text, label.labelId);
                return label;
              });
              // The field itself says what is wrong with its lines.
              if (from === "camera") tell(error);
              return error;
            }}
            onPicture={(base64) => void read(() => platform.call("label_read_picture", { base64 })).then(tell)}
          />
          <Text size="sm" role="status" className={classes.told}>
            {told.name && told.how && t(`add.${told.how}`, { name: plainName(told.name), count: added })}
          </Text>
          {told.error && <ErrorPanel error={told.error} actions={null} />}
        </div>
        <div className={classes.way}>
          <div className={classes.head}>
            <Title order={3}>{t("pair:nearby.title")}</Title>
            {known.length > 1 && (
              <Button variant="default" size="sm" onClick={() => known.forEach(choose)}>
                {t("add.all", { count: known.length })}
              </Button>
            )}
          </div>
          <NearbyList nearby={nearby.latest} onChoose={choose} />
          {standing?.demo.state === "on" && standing.demo.devices < MOST && (
            <Button variant="subtle" loading={demo.starting} onClick={() => demo.start(MOST)}>
              {t("add.moreDemo", { count: MOST })}
            </Button>
          )}
          {demo.error && <ErrorPanel error={demo.error} onRetry={() => demo.start(MOST)} />}
        </div>
      </div>
      <Button variant="default" className={classes.done} onClick={onDone}>
        {t("add.done")}
      </Button>
      <Suspense>
        {asking && (
          <CodeDialog
            device={asking}
            onClose={() => setAsking(undefined)}
            onLabel={(label) => {
              put(label, asking.link);
              setAsking(undefined);
            }}
          />
        )}
      </Suspense>
    </section>
  );
}

import { Skeleton, Text, UnstyledButton } from "@mantine/core";
import {
  IconAntennaBars1,
  IconAntennaBars2,
  IconAntennaBars3,
  IconAntennaBars4,
  IconAntennaBars5,
  IconChevronRight,
  IconCircleCheck,
} from "@tabler/icons-react";
import { useTranslation } from "react-i18next";
import type { NearbyDevice, NearbySeen, NearbySource } from "@/platform";
import { formatNumber, plainName } from "@/words";
import { KindIcon } from "./KindIcon";
import classes from "./NearbyList.module.css";

/** Whether pairing it makes sense: Lowtouch's protocol, or a serial port behind which anything may be. */
export function canBePaired(device: NearbyDevice): boolean {
  return device.usable.state === "ready" && (device.kind === "protocomm" || device.kind === "serial-port");
}

/** Devices in reach. Pressing one pairs it, or asks for the code on its label. */
export function NearbyList({
  nearby,
  busy,
  onChoose,
  empty,
}: {
  nearby?: NearbySeen;
  busy?: string;
  onChoose: (device: NearbyDevice) => void;
  /** Beside "nothing yet". */
  empty?: React.ReactNode;
}) {
  const { t } = useTranslation("pair");
  if (!nearby) {
    return (
      <div className={classes.list} role="status" aria-busy="true" aria-label={t("common:loading")}>
        <Skeleton height={56} />
        <Skeleton height={56} />
      </div>
    );
  }
  const listening = nearby.sources.filter((source) => source.state === "listening" || source.state === "starting");
  const others = nearby.sources.filter((source) => source.state === "unavailable" || source.state === "paused");
  return (
    <div className={classes.nearby}>
      {nearby.devices.length > 0 ? (
        <ul className={classes.list}>
          {nearby.devices.map((device) => (
            <li key={device.link}>
              <Row device={device} busy={busy === device.link} disabled={busy !== undefined} onChoose={onChoose} />
            </li>
          ))}
        </ul>
      ) : (
        <div className={classes.nothing}>
          <Text size="sm" c="dimmed">
            {listening.length > 0 ? t("nearby.nothing") : t("nearby.cannot")}
          </Text>
          {empty}
        </div>
      )}
      {others.map((source) => (
        <Source key={source.via} source={source} />
      ))}
    </div>
  );
}

function Row({
  device,
  busy,
  disabled,
  onChoose,
}: {
  device: NearbyDevice;
  busy: boolean;
  disabled: boolean;
  onChoose: (device: NearbyDevice) => void;
}) {
  const { t } = useTranslation("pair");
  const able = canBePaired(device);
  const name = plainName(device.name ?? device.address ?? device.link);
  return (
    <UnstyledButton
      className={classes.row}
      disabled={!able || disabled}
      aria-busy={busy || undefined}
      onClick={() => onChoose(device)}
    >
      <KindIcon link={device.via === "serial" ? "serial:" : device.link} />
      <span className={classes.words}>
        <span className={classes.name}>
          {able && <span className="unseen">{t("nearby.pair")} </span>}
          {name}
        </span>
        <span className={classes.sub}>
          {device.usable.state !== "ready" ? (
            t(`nearby.usable.${device.usable.state}`, { defaultValue: device.usable.mend })
          ) : device.provisioned ? (
            <>
              <IconCircleCheck size={14} aria-hidden /> {t("nearby.paired")}
            </>
          ) : able ? (
            t(`nearby.via.${device.via}`)
          ) : (
            t(device.kind === "improv" ? "nearby.improv" : "nearby.other")
          )}
        </span>
      </span>
      {device.rssi !== undefined && <Signal rssi={device.rssi} />}
      {able && <IconChevronRight size={20} stroke={1.75} aria-hidden className={classes.go} />}
    </UnstyledButton>
  );
}

function Signal({ rssi }: { rssi: number }) {
  const { t, i18n } = useTranslation("pair");
  const Icon =
    rssi >= -55
      ? IconAntennaBars5
      : rssi >= -67
        ? IconAntennaBars4
        : rssi >= -77
          ? IconAntennaBars3
          : rssi >= -87
            ? IconAntennaBars2
            : IconAntennaBars1;
  return (
    <span className={classes.signal} title={t("nearby.signal")}>
      <Icon size={20} stroke={1.75} aria-hidden />
      <span className="figures">{formatNumber(i18n.language, rssi)} dBm</span>
    </span>
  );
}

/** A way of looking that does not work, with what to do about it. */
function Source({ source }: { source: NearbySource }) {
  const { t, i18n } = useTranslation(["pair", "codes"]);
  const known = source.code && i18n.exists(`codes:errors.${source.code}.text`);
  return (
    <Text size="sm" c="dimmed" className={classes.source}>
      {source.state === "paused"
        ? t("pair:nearby.paused")
        : known
          ? t(`codes:errors.${source.code}.text` as never)
          : (source.hint ?? t(`pair:nearby.off.${source.via}` as never))}
      {source.detail && <span className={classes.detail}> {source.detail}</span>}
    </Text>
  );
}

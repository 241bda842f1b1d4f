import { Button, PasswordInput, Skeleton, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import "@mantine/core/styles/PasswordInput.layer.css";
import { IconCheck, IconLock, IconRefresh, IconWifi, IconWifi1, IconWifi2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorFoot, useErrorWords } from "@/parts";
import { asCommandError, type CommandError, type WifiAuth, type WifiNetwork, type WifiNetworksOf } from "@/platform";
import { callOptions } from "@/platform/react";
import type { Wifi } from "./starts";
import classes from "./WifiForm.module.css";

/** The device needs a Wi-Fi, or could not join the one it was given: choose another, keeping everything else. */
export function WifiForm({
  error,
  device,
  before,
  onWifi,
}: {
  error: CommandError;
  /** Which device looks around, and what it may be asked without. */
  device: WifiNetworksOf;
  /** What was tried. */
  before?: Wifi;
  onWifi: (wifi: Wifi) => void;
}) {
  const { t, i18n } = useTranslation("pair");
  const words = useErrorWords(error);
  // Each look is a session with the device: not whenever somebody comes back from where their passwords are.
  const networks = useQuery({ ...callOptions("wifi_networks", device), refetchOnWindowFocus: false });
  const [chosen, setChosen] = useState<WifiNetwork>();
  // No list has a network that does not tell its name.
  const [other, setOther] = useState(before?.hidden ?? false);
  const [ssid, setSsid] = useState(before?.ssid ?? "");
  const [passphrase, setPassphrase] = useState("");
  const [hidden, setHidden] = useState(before?.hidden ?? false);
  // A password that was wrong: the network stays chosen, only the password is asked for again.
  const { data } = networks;
  const wanted = before && !before.hidden ? nameOf(before) : undefined;
  useEffect(() => {
    const same = data?.find((network) => network.joinable && nameOf(network) === wanted);
    if (same) setChosen((already) => already ?? same);
  }, [data, wanted]);
  const byHand = other || (data ? data.length === 0 : networks.isError);
  const picked = byHand ? undefined : chosen;
  const wants = picked?.auth !== "open";
  const name = picked ? picked.ssid : ssid.trim();
  const isChosen = (network: WifiNetwork) => chosen !== undefined && identity(network) === identity(chosen);
  const ready = name !== "" && (!wants || passphrase.length >= 8 || (byHand && passphrase === ""));

  const give = (event: FormEvent) => {
    event.preventDefault();
    onWifi({
      ssid: name,
      ssidHex: picked ? picked.ssidHex : name === before?.ssid ? before.ssidHex : undefined,
      passphrase: wants && passphrase !== "" ? passphrase : undefined,
      hidden: byHand ? hidden : undefined,
    });
  };

  return (
    <form className={classes.form} onSubmit={give} aria-labelledby="wifi-title" data-code={error.code}>
      <div role="alert">
        <Text component="h2" id="wifi-title" fw={600} size="lg" m={0}>
          {error.code === "network-needed" ? t("wifi.needed") : words.title}
        </Text>
        <Text>{error.code === "network-needed" ? t("wifi.neededText") : words.text}</Text>
      </div>

      {networks.isPending && (
        <Stack gap="xxs" role="status" aria-busy="true" aria-label={t("wifi.looking")}>
          <Text size="sm" c="dimmed">
            {t("wifi.looking")}
          </Text>
          <Skeleton height={48} />
          <Skeleton height={48} />
        </Stack>
      )}
      {networks.data && networks.data.length > 0 && !other && (
        <div role="radiogroup" aria-label={t("wifi.networks")} className={classes.list}>
          {networks.data.map((network) => (
            <UnstyledButton
              key={identity(network)}
              role="radio"
              aria-checked={isChosen(network)}
              disabled={!network.joinable}
              className={classes.network}
              onClick={() => {
                setChosen(network);
                setPassphrase("");
              }}
            >
              <Strength rssi={network.rssi} />
              <span className={classes.name}>{network.ssid || t("wifi.nameless")}</span>
              {!network.joinable && <span className={classes.why}>{t("wifi.notJoinable")}</span>}
              {network.auth !== "open" && network.joinable && (
                <IconLock size={16} stroke={1.75} role="img" aria-label={t("wifi.locked")} />
              )}
              {isChosen(network) && <IconCheck size={20} aria-hidden />}
            </UnstyledButton>
          ))}
        </div>
      )}
      {networks.isError && <CannotLook error={asCommandError(networks.error)} />}
      <div className={classes.tools}>
        {!networks.isPending && (
          <Button
            variant="subtle"
            color="gray"
            size="sm"
            loading={networks.isFetching}
            leftSection={<IconRefresh size={16} aria-hidden />}
            onClick={() => void networks.refetch()}
          >
            {t("wifi.again")}
          </Button>
        )}
        {!byHand || other ? (
          <Button
            variant="subtle"
            color="gray"
            size="sm"
            onClick={() => {
              setOther(!other);
              setChosen(undefined);
            }}
          >
            {t(other ? "wifi.list" : "wifi.other")}
          </Button>
        ) : null}
      </div>
      {byHand && (
        <TextInput
          label={t("wifi.name")}
          value={ssid}
          required
          autoComplete="off"
          onChange={(event) => {
            setSsid(event.currentTarget.value);
            // A network that is typed although there is a list does not tell its name.
            setHidden(other);
          }}
        />
      )}
      {(byHand || (picked && wants)) && (
        <PasswordInput
          key={picked && identity(picked)}
          label={picked ? t("wifi.passphraseOf", { name: picked.ssid }) : t("wifi.passphrase")}
          description={byHand ? t("wifi.openHow") : undefined}
          error={passphrase !== "" && passphrase.length < 8 ? t("wifi.short") : undefined}
          value={passphrase}
          autoComplete="off"
          autoFocus={!byHand}
          lang={i18n.language}
          visibilityToggleButtonProps={{ "aria-label": t("wifi.show") }}
          onChange={(event) => setPassphrase(event.currentTarget.value)}
        />
      )}
      <Button type="submit" size="lg" fullWidth disabled={!ready}>
        {t("wifi.go")}
      </Button>
      <ErrorFoot error={error} />
    </form>
  );
}

function CannotLook({ error }: { error: CommandError }) {
  const { t } = useTranslation("pair");
  const { text } = useErrorWords(error);
  return (
    <Text size="sm" c="dimmed" role="status">
      {t("wifi.cannotLook")} {text} <span className="mono">{error.code}</span>
    </Text>
  );
}

/** Its bytes, where those are no text. */
const nameOf = ({ ssid, ssidHex }: { ssid: string; ssidHex?: string }) => ssidHex ?? ssid;

/** Ways in that are networks of their own even under the same name; all others take a passphrase. */
const APART: readonly WifiAuth[] = ["open", "enterprise", "wep", "unknown"];

/**
 * The same for the same network in every look, as the core puts access points together: by name and way in. Its `bssid` is
 * whichever access point is the strongest just then; it tells apart only those without a name.
 */
function identity(network: WifiNetwork): string {
  const { ssid, auth, bssid } = network;
  return ssid === "" ? bssid : `${nameOf(network)} ${APART.includes(auth) ? auth : ""}`;
}

function Strength({ rssi }: { rssi: number }) {
  const Icon = rssi >= -60 ? IconWifi : rssi >= -75 ? IconWifi2 : IconWifi1;
  return <Icon size={20} stroke={1.75} role="img" aria-label={`${rssi} dBm`} />;
}

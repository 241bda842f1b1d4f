import "@mantine/core/styles/PasswordInput.layer.css";
import { Button, Group, Modal, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { setSiteWifi, siteWifi, type Wifi } from "@/screens/pair/starts";

/** The Wi-Fi for all devices that need one. It stays in the page's memory and goes with it. */
export default function SiteWifiDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation(["bench", "pair"]);
  const [before] = useState(siteWifi);
  const [ssid, setSsid] = useState(before?.ssid ?? "");
  const [passphrase, setPassphrase] = useState("");
  const [changing, setChanging] = useState(false);
  // The network that is set, whatever its name holds: of that everything stays that is not changed here.
  const same = before !== undefined && (ssid === before.ssid || ssid.trim() === before.ssid) ? before : undefined;
  const kept = same?.passphrase !== undefined && !changing;
  const short = !kept && passphrase !== "" && passphrase.length < 8;
  const wifi = (): Wifi | undefined => {
    if (same && kept) return same;
    if (!same && ssid.trim() === "") return undefined;
    return { ...(same ?? { ssid: ssid.trim() }), passphrase: passphrase || undefined };
  };
  return (
    <Modal
      opened
      onClose={onClose}
      title={t("bench:wifi.title")}
      closeButtonProps={{ "aria-label": t("common:close") }}
      centered
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setSiteWifi(wifi());
          onClose();
        }}
      >
        <Stack>
          <Text size="sm">{t("bench:wifi.text")}</Text>
          <TextInput
            label={t("pair:wifi.name")}
            value={ssid}
            autoComplete="off"
            data-autofocus
            onChange={(event) => setSsid(event.currentTarget.value)}
          />
          {kept ? (
            <Group justify="space-between" gap="xs">
              <Text size="sm">{t("bench:wifi.kept")}</Text>
              <Button variant="subtle" size="sm" onClick={() => setChanging(true)}>
                {t("bench:wifi.change")}
              </Button>
            </Group>
          ) : (
            <PasswordInput
              label={t("pair:wifi.passphrase")}
              description={t("pair:wifi.openHow")}
              error={short ? t("pair:wifi.short") : undefined}
              value={passphrase}
              autoComplete="off"
              autoFocus={changing}
              visibilityToggleButtonProps={{ "aria-label": t("pair:wifi.show") }}
              onChange={(event) => setPassphrase(event.currentTarget.value)}
            />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("common:cancel")}
            </Button>
            <Button type="submit" disabled={short}>
              {t("bench:wifi.go")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

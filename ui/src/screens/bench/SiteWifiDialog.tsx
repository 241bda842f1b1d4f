import "@mantine/core/styles/PasswordInput.layer.css";
import { Button, Group, Modal, PasswordInput, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { setSiteWifi, siteWifi } from "@/screens/pair/starts";

/** The Wi-Fi for all devices that need one. It stays in the page's memory and goes with it. */
export default function SiteWifiDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation(["bench", "pair"]);
  const [ssid, setSsid] = useState(siteWifi()?.ssid ?? "");
  const [passphrase, setPassphrase] = useState("");
  const short = passphrase !== "" && passphrase.length < 8;
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
          setSiteWifi(ssid.trim() === "" ? undefined : { ssid: ssid.trim(), passphrase: passphrase || undefined });
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
          <PasswordInput
            label={t("pair:wifi.passphrase")}
            description={t("pair:wifi.openHow")}
            error={short ? t("pair:wifi.short") : undefined}
            value={passphrase}
            autoComplete="off"
            visibilityToggleButtonProps={{ "aria-label": t("pair:wifi.show") }}
            onChange={(event) => setPassphrase(event.currentTarget.value)}
          />
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

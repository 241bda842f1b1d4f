import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorPanel } from "@/parts/ErrorPanel";
import { asCommandError, type CommandError, type LabelSeen, type NearbyDevice, platform } from "@/platform";
import { plainName } from "@/words";

/** A device was chosen whose label was not read: its code is typed off the label. */
export default function CodeDialog({
  device,
  onClose,
  onLabel,
}: {
  device: NearbyDevice;
  onClose: () => void;
  onLabel: (label: LabelSeen) => void;
}) {
  const { t } = useTranslation("pair");
  const [name, setName] = useState(device.via === "serial" ? "" : (device.name ?? ""));
  const [code, setCode] = useState("");
  const [error, setError] = useState<CommandError>();
  const [busy, setBusy] = useState(false);
  const read = async () => {
    setBusy(true);
    setError(undefined);
    try {
      onLabel(await platform.call("label_from_code", { name: name.trim(), pop: code.trim(), link: device.link }));
    } catch (thrown) {
      setError(asCommandError(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Modal
      opened
      onClose={onClose}
      title={t("code.title", { name: plainName(device.name ?? device.link) })}
      closeButtonProps={{ "aria-label": t("common:close") }}
      centered
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void read();
        }}
      >
        <Stack>
          {(device.via === "serial" || !device.name) && (
            <TextInput
              label={t("code.name")}
              description={t("code.nameHow")}
              value={name}
              required
              autoComplete="off"
              data-autofocus
              onChange={(event) => setName(event.currentTarget.value)}
            />
          )}
          <TextInput
            label={t("code.code")}
            description={t("code.codeHow")}
            value={code}
            required
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            data-autofocus={device.via !== "serial" && device.name ? true : undefined}
            classNames={{ input: "mono" }}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          {error && <ErrorPanel error={error} actions={null} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("common:cancel")}
            </Button>
            <Button type="submit" loading={busy} disabled={code.trim() === "" || name.trim() === ""}>
              {t("code.go")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

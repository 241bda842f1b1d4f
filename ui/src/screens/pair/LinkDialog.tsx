import { Button, Group, Modal, Stack, Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { LabelSeen, NearbySeen } from "@/platform";
import { plainName } from "@/words";
import { NearbyList } from "./NearbyList";

/** A label that does not say how its device is reached: choose it from those nearby, or type its address. */
export default function LinkDialog({
  label,
  nearby,
  onClose,
  onLink,
}: {
  label: LabelSeen;
  nearby?: NearbySeen;
  onClose: () => void;
  onLink: (link: string) => void;
}) {
  const { t } = useTranslation("pair");
  const [link, setLink] = useState("");
  return (
    <Modal
      opened
      onClose={onClose}
      title={t("link.title", { name: plainName(label.name) })}
      closeButtonProps={{ "aria-label": t("common:close") }}
      centered
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onLink(link.trim());
        }}
      >
        <Stack>
          <Text size="sm">{t("link.text")}</Text>
          <NearbyList nearby={nearby} onChoose={(device) => onLink(device.link)} />
          <TextInput
            label={t("link.address")}
            description={t("link.addressHow")}
            value={link}
            autoComplete="off"
            spellCheck={false}
            classNames={{ input: "mono" }}
            onChange={(event) => setLink(event.currentTarget.value)}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("common:cancel")}
            </Button>
            <Button type="submit" disabled={link.trim() === ""}>
              {t("link.go")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

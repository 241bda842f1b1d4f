import { Button, Modal } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { wayOf } from "@/parts/actions";
import { ErrorPanel } from "@/parts/ErrorPanel";
import { plainName } from "@/words";
import { bench, useTile } from "./bench";

/** Why a pairing could not even be begun, and what to do: what the page of a pairing says of one that failed. */
export default function RefusedDialog({
  id,
  onClose,
  onScan,
  onWifi,
}: {
  id: string;
  onClose: () => void;
  onScan: () => void;
  onWifi: () => void;
}) {
  const { t } = useTranslation("bench");
  const tile = useTile(id);
  if (!tile?.error) return null;
  const way = wayOf(tile.error.action);
  return (
    <Modal
      opened
      onClose={onClose}
      title={plainName(tile.name)}
      closeButtonProps={{ "aria-label": t("common:close") }}
      centered
    >
      <ErrorPanel
        error={tile.error}
        // What can be done here does not lead away from the other devices.
        actions={
          tile.error.action === "check-wifi" ? (
            <Button onClick={onWifi}>{t("refused.wifi")}</Button>
          ) : way.kind === "go" && way.to === "/" ? (
            <Button onClick={onScan}>{t("refused.scan")}</Button>
          ) : undefined
        }
        onRetry={() => {
          onClose();
          bench.again(id);
        }}
      />
    </Modal>
  );
}

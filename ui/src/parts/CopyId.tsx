import { Tooltip, UnstyledButton } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { copyText } from "@/platform";
import classes from "./CopyId.module.css";

/** An ID, whole, in a monospaced face; a click copies it. */
export function CopyId({ value, label }: { value: string; label?: string }) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <Tooltip label={copied ? t("copied") : t("copy")}>
      <UnstyledButton
        className={classes.id}
        aria-label={t("copyOf", { what: label ? `${label} ${value}` : value })}
        onClick={(event) => {
          event.stopPropagation();
          void copyText(value).then(setCopied);
        }}
      >
        <span className="mono">{value}</span>
        {copied ? <IconCheck size={14} aria-hidden /> : <IconCopy size={14} aria-hidden className={classes.icon} />}
        <span className="unseen" aria-live="polite">
          {copied ? t("copied") : ""}
        </span>
      </UnstyledButton>
    </Tooltip>
  );
}

import { ActionIcon, Button, Text, Textarea } from "@mantine/core";
import {
  IconBulb,
  IconBulbFilled,
  IconCamera,
  IconCameraOff,
  IconPhoto,
  IconScan,
  IconTextCaption,
  IconX,
} from "@tabler/icons-react";
import { type ReactNode, useCallback, useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import classes from "./Scanner.module.css";
import { cameraIsAllowed, useCamera } from "./useCamera";

export interface ScannerProps {
  /** A text was seen by the camera, pasted or typed. */
  onText: (text: string) => void;
  /** A picture was chosen, dropped or pasted; base64 of the file. Without it, pictures are not offered. */
  onPicture?: (base64: string) => void;
  /** What is scanned: the words of the buttons. */
  what?: "label" | "invite";
  /** Goes on scanning after a code was seen: each new one is told once. */
  continuous?: boolean;
  /** Something is being done with what was seen; nothing new is taken meanwhile. */
  busy?: boolean;
  /** Several texts may be pasted, one a line. */
  many?: boolean;
  /** Below the buttons. */
  children?: ReactNode;
}

/** Camera first; a picture, or the text itself, for whoever has no camera. Paste and drop work anywhere on the page. */
export function Scanner({
  onText,
  onPicture,
  what = "label",
  continuous = false,
  busy = false,
  many = false,
  children,
}: ScannerProps) {
  const { t } = useTranslation("scanner");
  const files = useRef<HTMLInputElement>(null);
  const seen = useRef(new Set<string>());
  const [typing, setTyping] = useState(false);
  const [over, setOver] = useState(false);
  const [flash, setFlash] = useState(0);
  const quiet = useRef(busy);
  quiet.current = busy;

  const camera = useCamera((text) => {
    if (quiet.current || seen.current.has(text)) return;
    seen.current.add(text);
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(60);
    setFlash((count) => count + 1);
    if (!continuous) camera.stop();
    onText(text);
  });
  const { start } = camera;

  // Where the camera was allowed before, it is on at once: nothing to press between two devices.
  useEffect(() => {
    let gone = false;
    if (matchMedia("(pointer: coarse)").matches) {
      void cameraIsAllowed().then((allowed) => {
        if (allowed && !gone) void start();
      });
    }
    return () => {
      gone = true;
    };
  }, [start]);

  const take = useCallback(
    async (file: File) => {
      if (onPicture) onPicture(await base64Of(file));
    },
    [onPicture],
  );

  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const target = event.target as HTMLElement | null;
      if (quiet.current || target?.closest("input, textarea, [role=dialog]")) return;
      const picture = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
      const text = event.clipboardData?.getData("text/plain").trim();
      if (picture) void take(picture);
      else if (text) onText(text);
      else return;
      event.preventDefault();
    };
    const dragOver = (event: DragEvent) => {
      if (!onPicture || ![...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file")) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      setOver(false);
      const file = event.dataTransfer?.files[0];
      if (!file || !onPicture) return;
      event.preventDefault();
      void take(file);
    };
    document.addEventListener("paste", paste);
    document.addEventListener("dragover", dragOver);
    document.addEventListener("dragleave", leave);
    document.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("paste", paste);
      document.removeEventListener("dragover", dragOver);
      document.removeEventListener("dragleave", leave);
      document.removeEventListener("drop", drop);
    };
  }, [onText, onPicture, take]);

  const rescan = () => {
    seen.current.clear();
    void start();
  };

  return (
    <div className={classes.scanner} data-over={over || undefined}>
      <div className={classes.finder} data-state={camera.state}>
        <video ref={camera.video} className={classes.video} muted playsInline aria-label={t("viewfinder")} />
        {camera.state === "on" && (
          <>
            <span className={classes.frame} aria-hidden />
            {flash > 0 && <span key={flash} className={classes.flash} aria-hidden />}
            <div className={classes.tools}>
              {camera.torch !== undefined && (
                <ActionIcon
                  size="xl"
                  variant="filled"
                  color="dark"
                  aria-pressed={camera.torch}
                  aria-label={t("torch")}
                  onClick={() => void camera.turnTorch(!camera.torch)}
                >
                  {camera.torch ? <IconBulbFilled size={22} aria-hidden /> : <IconBulb size={22} aria-hidden />}
                </ActionIcon>
              )}
              <ActionIcon size="xl" variant="filled" color="dark" aria-label={t("cameraOff")} onClick={camera.stop}>
                <IconX size={22} aria-hidden />
              </ActionIcon>
            </div>
            <Text className={classes.say} size="sm">
              {t(`aim.${what}`)}
            </Text>
          </>
        )}
        {camera.state !== "on" && (
          <div className={classes.instead}>
            {camera.state === "off" || camera.state === "starting" ? (
              <>
                <span className={classes.picture} aria-hidden>
                  <IconScan size={64} stroke={1.25} />
                </span>
                <Button
                  size="lg"
                  leftSection={<IconCamera size={24} stroke={1.75} aria-hidden />}
                  loading={camera.state === "starting" || busy}
                  onClick={rescan}
                >
                  {t(`scan.${what}`)}
                </Button>
              </>
            ) : (
              <div role="alert" className={classes.why}>
                <IconCameraOff size={40} stroke={1.5} aria-hidden />
                <Text fw={600}>{t(`no.${camera.state}.title`)}</Text>
                <Text size="sm" c="dimmed" maw="24rem">
                  {t(`no.${camera.state}.text`)}
                </Text>
                <Button variant="default" onClick={rescan}>
                  {t("common:tryAgain")}
                </Button>
              </div>
            )}
          </div>
        )}
        {over && <div className={classes.drop}>{t("drop")}</div>}
      </div>
      <div className={classes.others}>
        {onPicture && (
          <>
            <input
              ref={files}
              type="file"
              accept="image/png,image/jpeg"
              className="unseen"
              tabIndex={-1}
              aria-hidden
              onChange={(event) => {
                const file = event.currentTarget.files?.[0];
                event.currentTarget.value = "";
                if (file) void take(file);
              }}
            />
            <Button
              variant="subtle"
              color="gray"
              disabled={busy}
              leftSection={<IconPhoto size={20} stroke={1.75} aria-hidden />}
              onClick={() => files.current?.click()}
            >
              {t("picture")}
            </Button>
          </>
        )}
        <Button
          variant="subtle"
          color="gray"
          aria-expanded={typing}
          leftSection={<IconTextCaption size={20} stroke={1.75} aria-hidden />}
          onClick={() => setTyping(!typing)}
        >
          {t("text")}
        </Button>
        {children}
      </div>
      {typing && <Typed what={what} many={many} busy={busy} onText={onText} />}
    </div>
  );
}

function Typed({
  what,
  many,
  busy,
  onText,
}: {
  what: "label" | "invite";
  many: boolean;
  busy: boolean;
  onText: (text: string) => void;
}) {
  const { t } = useTranslation("scanner");
  const [text, setText] = useState("");
  const id = useId();
  const lines = many ? text.split("\n").filter((line) => line.trim() !== "") : [text.trim()].filter(Boolean);
  const give = () => {
    for (const line of lines) onText(line.trim());
    if (many) setText("");
  };
  return (
    <form
      className={classes.typed}
      onSubmit={(event) => {
        event.preventDefault();
        give();
      }}
    >
      <Textarea
        id={id}
        label={t(many ? "typed.labels" : `typed.${what}`)}
        description={t(many ? "typed.manyHow" : `typed.${what}How`)}
        value={text}
        minRows={many ? 5 : 3}
        rows={many ? 6 : 3}
        autoFocus
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        classNames={{ input: "mono" }}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !many && !event.shiftKey) {
            event.preventDefault();
            if (lines.length > 0) give();
          }
        }}
      />
      <Button type="submit" disabled={lines.length === 0} loading={busy}>
        {many ? t("typed.add", { count: lines.length }) : t(`typed.${what}Go`)}
      </Button>
    </form>
  );
}

async function base64Of(file: File): Promise<string> {
  const url = await new Promise<string>((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}

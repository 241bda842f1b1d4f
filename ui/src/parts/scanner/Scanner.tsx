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
import { ErrorFoot, useErrorWords } from "@/parts/ErrorPanel";
import type { CommandError } from "@/platform";
import classes from "./Scanner.module.css";
import { cameraIsAllowed, useCamera } from "./useCamera";

interface Common {
  /** A picture was chosen, dropped or pasted; base64 of the file. Without it, pictures are not offered. */
  onPicture?: (base64: string) => void;
  /** What is scanned: the words of the buttons. */
  what?: "label" | "invite";
  /** Something is being done with what was seen; nothing new is taken meanwhile. */
  busy?: boolean;
  /** Below the buttons. */
  children?: ReactNode;
}

interface One extends Common {
  /** A text was seen by the camera, pasted or typed. */
  onText: (text: string) => void;
  onEach?: undefined;
}

interface Many extends Common {
  onText?: undefined;
  /**
   * One of many texts: the camera goes on scanning, and what is pasted or typed is one text a line. Gives why it could not
   * be taken; such a line stays in the field.
   */
  onEach: (text: string, from: "camera" | "field") => Promise<CommandError | undefined>;
}

export type ScannerProps = One | Many;

/** A code is told once as long as it is held in sight, and again after it was away for so long. */
const AWAY_MS = 2_000;

/** Camera first; a picture, or the text itself, for whoever has no camera. Paste and drop work anywhere on the page. */
export function Scanner({ onText, onEach, onPicture, what = "label", busy = false, children }: ScannerProps) {
  const { t } = useTranslation("scanner");
  const files = useRef<HTMLInputElement>(null);
  /** When each code was last in sight. */
  const seen = useRef(new Map<string, number>());
  const [text, setText] = useState("");
  /** Lines that could not be taken, and why. */
  const [unread, setUnread] = useState<ReadonlyMap<string, CommandError>>(new Map());
  const [taking, setTaking] = useState(0);
  const [typing, setTyping] = useState(false);
  const [over, setOver] = useState(false);
  const [flash, setFlash] = useState(0);
  const quiet = useRef(busy);
  quiet.current = busy;

  const camera = useCamera((text) => {
    if (quiet.current) return;
    const last = seen.current.get(text) ?? Number.NEGATIVE_INFINITY;
    seen.current.set(text, Date.now());
    if (Date.now() - last < AWAY_MS) return;
    if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(60);
    setFlash((count) => count + 1);
    if (onEach) void onEach(text, "camera");
    else {
      camera.stop();
      onText(text);
    }
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

  const takeText = useCallback(
    async (pasted: string) => {
      if (!onEach) {
        onText(pasted.trim());
        return;
      }
      setTaking((count) => count + 1);
      const left = new Map<string, CommandError>();
      for (const line of linesOf(pasted)) {
        const error = await onEach(line, "field");
        if (error) left.set(line, error);
      }
      setTaking((count) => count - 1);
      if (left.size === 0) return;
      setUnread((before) => new Map([...before, ...left]));
      setText((before) => [before.trimEnd(), ...left.keys()].filter(Boolean).join("\n"));
      setTyping(true);
    },
    [onEach, onText],
  );
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
      const text = event.clipboardData?.getData("text/plain") ?? "";
      if (picture) void take(picture);
      else if (text.trim() !== "") void takeText(text);
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
  }, [onPicture, take, takeText]);

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
      {typing && (
        <Typed
          what={what}
          many={onEach !== undefined}
          busy={busy || taking > 0}
          text={text}
          unread={unread}
          onChange={setText}
          onGive={() => {
            if (onEach) setText("");
            void takeText(text);
          }}
        />
      )}
    </div>
  );
}

function Typed({
  what,
  many,
  busy,
  text,
  unread,
  onChange,
  onGive,
}: {
  what: "label" | "invite";
  many: boolean;
  busy: boolean;
  text: string;
  unread: ReadonlyMap<string, CommandError>;
  onChange: (text: string) => void;
  onGive: () => void;
}) {
  const { t } = useTranslation("scanner");
  const id = useId();
  const field = useRef<HTMLTextAreaElement>(null);
  const count = many ? linesOf(text).length : text.trim().length;
  const wrong = many ? wrongLines(text, unread) : [];
  return (
    <form
      className={classes.typed}
      onSubmit={(event) => {
        event.preventDefault();
        // The button is not to be pressed meanwhile, and would let go of the keyboard.
        field.current?.focus();
        onGive();
      }}
    >
      <Textarea
        ref={field}
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
        error={wrong.length > 0}
        onChange={(event) => onChange(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !many && !event.shiftKey) {
            event.preventDefault();
            if (count > 0) onGive();
          }
        }}
      />
      {wrong.length > 0 && (
        <div role="alert">
          <ul className={classes.wrong}>
            {wrong.map(({ error, lines }) => (
              <WrongLines key={`${error.code}${error.detail}`} error={error} lines={lines} />
            ))}
          </ul>
        </div>
      )}
      <Button type="submit" disabled={count === 0} loading={busy}>
        {many ? t("typed.add", { count }) : t(`typed.${what}Go`)}
      </Button>
    </form>
  );
}

/** Lines with the same fault, by their numbers: what they hold may be secret. */
function WrongLines({ error, lines }: { error: CommandError; lines: readonly number[] }) {
  const { t } = useTranslation("scanner");
  const { title, text } = useErrorWords(error);
  return (
    <li data-code={error.code}>
      <Text size="sm" fw={600}>
        {t("typed.line", { count: lines.length, lines: lines.join(", "), what: title })}
      </Text>
      <Text size="sm">{text}</Text>
      <ErrorFoot error={error} />
    </li>
  );
}

/** The texts, one a line; one that is written over several lines, as JSON may be, is one. */
function linesOf(pasted: string): string[] {
  try {
    JSON.parse(pasted);
    return [pasted.trim()];
  } catch {
    return pasted
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
  }
}

/** The lines of the field that could not be taken as they stand there, by what is wrong with them. */
function wrongLines(text: string, unread: ReadonlyMap<string, CommandError>) {
  const wrong = new Map<string, { error: CommandError; lines: number[] }>();
  const lines = unread.has(text.trim()) ? [text] : text.split("\n");
  for (const [index, line] of lines.entries()) {
    const error = unread.get(line.trim());
    if (!error) continue;
    const same = `${error.code}${error.detail}`;
    wrong.set(same, { error, lines: [...(wrong.get(same)?.lines ?? []), index + 1] });
  }
  return [...wrong.values()];
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

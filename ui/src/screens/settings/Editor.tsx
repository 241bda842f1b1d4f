import { ActionIcon, Button, TextInput } from "@mantine/core";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import { type FormEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { Chips } from "@/parts/Chips";
import { useLooks } from "@/parts/useProblemWords";
import type { SettingSeen } from "@/platform";
import classes from "./Settings.module.css";

/** Changes a setting: one text, a list of them, or one of a few words. Nothing is written before "Save". */
export function Editor({
  setting,
  name,
  given,
  choices,
  busy,
  onSave,
  onCancel,
}: {
  setting: SettingSeen;
  name: string;
  given: string[];
  choices?: string[];
  busy: boolean;
  onSave: (values: string[]) => void;
  onCancel: () => void;
}) {
  const { t } = useTranslation("settings");
  const looks = useLooks();
  const first = given.length > 0 ? given : choices && setting.default ? [setting.default] : [""];
  // Rows keep their identity while others go.
  const [lines, setLines] = useState(() => first.map((text, id) => ({ id, text })));
  const change = (id: number, text: string) =>
    setLines((before) => before.map((line) => (line.id === id ? { id, text } : line)));

  function submit(event: FormEvent) {
    event.preventDefault();
    // A password may begin or end with a space.
    const values = lines.map((line) => (setting.secret ? line.text : line.text.trim())).filter(Boolean);
    if (setting.list || values.length > 0) onSave(values);
  }

  return (
    <form
      className={classes.editor}
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key === "Escape") onCancel();
      }}
    >
      {choices ? (
        <Chips
          label={name}
          value={lines[0]?.text ?? ""}
          onChange={(text) => change(lines[0]?.id ?? 0, text)}
          chips={choices.map((value) => ({ value, label: value }))}
        />
      ) : (
        lines.map(({ id, text }, index) => (
          <div key={id} className={classes.line}>
            <TextInput
              className={classes.input}
              type={setting.secret ? "password" : "text"}
              aria-label={setting.list ? t("lineOf", { number: index + 1 }) : name}
              description={
                index === 0 && !setting.secret ? t("looks", { looks: looks(setting.key, setting.looks) }) : undefined
              }
              autoFocus={index === lines.length - 1}
              autoCapitalize="none"
              autoComplete={setting.secret ? "new-password" : "off"}
              spellCheck={false}
              value={text}
              onChange={(event) => change(id, event.currentTarget.value)}
            />
            {setting.list && lines.length > 1 && (
              <ActionIcon
                size="lg"
                aria-label={t("removeLine", { number: index + 1 })}
                onClick={() => setLines((before) => before.filter((line) => line.id !== id))}
              >
                <IconTrash size={20} stroke={1.75} aria-hidden />
              </ActionIcon>
            )}
          </div>
        ))
      )}
      {setting.list && (
        <Button
          size="sm"
          variant="subtle"
          leftSection={<IconPlus size={16} stroke={1.75} aria-hidden />}
          onClick={() =>
            setLines((before) => [...before, { id: Math.max(0, ...before.map((line) => line.id)) + 1, text: "" }])
          }
        >
          {t("addLine")}
        </Button>
      )}
      <div className={classes.buttons}>
        <Button size="sm" type="submit" loading={busy}>
          {t("save")}
        </Button>
        <Button size="sm" variant="default" onClick={onCancel}>
          {t("cancel")}
        </Button>
      </div>
    </form>
  );
}

import { Badge, Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorPanel } from "@/parts";
import { Mark } from "@/parts/Mark";
import { useProblemWords } from "@/parts/useProblemWords";
import { asCommandError, type CommandError, platform, type SettingSeen } from "@/platform";
import { Editor } from "./Editor";
import { asFailure, choices, standsAbove, valuesOf } from "./groups";
import classes from "./Settings.module.css";

/** One setting: what holds, where that came from, what is wrong with it, and changing it. */
export function SettingRow({ setting }: { setting: SettingSeen }) {
  const { t } = useTranslation(["settings", "codes"]);
  const queries = useQueryClient();
  const [editing, setEditing] = useState(false);
  const edit = useRef<HTMLButtonElement>(null);
  const wasEditing = useRef(false);
  const name = t(`settings:names.${setting.key}`, { defaultValue: setting.key });
  const again = () => queries.invalidateQueries({ queryKey: ["settings"] });
  const save = useMutation({
    mutationFn: (values: string[]) => platform.call("setting_set", { key: setting.key, values }),
    onSuccess: () => setEditing(false),
    onSettled: again,
  });
  const reset = useMutation({
    mutationFn: () => platform.call("setting_unset", { key: setting.key }),
    onSettled: again,
  });

  // The keyboard comes back to where it was.
  useEffect(() => {
    if (wasEditing.current && !editing) edit.current?.focus();
    wasEditing.current = editing;
  }, [editing]);

  const above = standsAbove(setting);
  const values = Array.isArray(setting.value) ? setting.value : setting.value === undefined ? [] : [setting.value];
  const problem = setting.problem && asFailure(setting.problem);
  const inFile = setting.source.from === "file";
  return (
    <div className={classes.row} data-key={setting.key}>
      <div className={classes.name}>
        <h3>{name}</h3>
        <span className={`${classes.key} mono`}>{setting.key}</span>
      </div>
      <div className={classes.value}>
        {editing ? (
          <Editor
            setting={setting}
            name={name}
            given={valuesOf(setting)}
            choices={choices(setting)}
            busy={save.isPending}
            onSave={(those) => save.mutate(those)}
            onCancel={() => {
              save.reset();
              setEditing(false);
            }}
          />
        ) : (
          <div className={classes.now}>
            {setting.secret ? (
              <span className={classes.about}>{t(`settings:${SECRET[String(setting.isSet)] ?? "secretUnknown"}`)}</span>
            ) : values.length === 0 ? (
              <span className={classes.about}>{t("settings:notSet")}</span>
            ) : (
              <ul className={classes.values}>
                {values.map((value) => (
                  <li key={value} className="mono">
                    {value}
                  </li>
                ))}
              </ul>
            )}
            {!setting.secret && <Source source={setting.source} />}
          </div>
        )}
        <p className={classes.about}>{t(`settings:about.${setting.key}`, { defaultValue: setting.about })}</p>
        {setting.default && inFile && (
          <p className={classes.about}>{t("settings:default", { value: setting.default })}</p>
        )}
        {setting.warning && !setting.problem && (
          <span className={classes.warning}>
            <Mark meaning="warn">{t(`settings:warnings.${setting.key}`, { defaultValue: setting.warning })}</Mark>
          </span>
        )}
        {problem && <ErrorPanel error={problem} actions={null} details={<ProblemDetail error={problem} />} />}
        {save.isError && (
          <ErrorPanel
            error={asCommandError(save.error)}
            actions={null}
            details={<ProblemDetail error={asCommandError(save.error)} />}
          />
        )}
        {reset.isError && <ErrorPanel error={asCommandError(reset.error)} onRetry={() => reset.mutate()} />}
        {above && <p className={classes.about}>{t("settings:above", { name: above })}</p>}
        {!editing && !above && (
          <div className={classes.buttons}>
            <Button
              ref={edit}
              size="sm"
              variant="default"
              aria-label={t("settings:editOf", { name })}
              onClick={() => {
                save.reset();
                reset.reset();
                setEditing(true);
              }}
            >
              {t("settings:edit")}
            </Button>
            {(inFile || problem || (setting.secret && setting.isSet !== false)) && (
              <Button
                size="sm"
                variant="subtle"
                color="gray"
                aria-label={t("settings:resetOf", { name })}
                loading={reset.isPending}
                onClick={() => {
                  save.reset();
                  reset.mutate();
                }}
              >
                {t("settings:reset")}
              </Button>
            )}
          </div>
        )}
        <span className="unseen" role="status">
          {save.isSuccess && !editing ? t("settings:saved", { name }) : ""}
          {reset.isSuccess ? t("settings:wasReset", { name }) : ""}
        </span>
      </div>
    </div>
  );
}

/** Of a secret is told whether there is one, and nothing else. */
const SECRET: Record<string, "secretSet" | "notSet"> = { true: "secretSet", false: "notSet" };

/** What is wrong with the value, and what one looks like; the core's own English where it is nothing that the settings know. */
function ProblemDetail({ error }: { error: CommandError }) {
  const words = useProblemWords();
  const detail = error.setting
    ? words(error.setting.problem, error.setting.key, error.detail ?? undefined)
    : error.detail;
  return detail ? <span className={`${classes.detail} mono`}>{detail}</span> : null;
}

function Source({ source }: { source: SettingSeen["source"] }) {
  const { t } = useTranslation("settings");
  const words = () => {
    switch (source.from) {
      case "file":
        return source.line > 0 ? t("sources.file", { line: source.line }) : t("sources.fileWhole");
      case "environment":
        return t("sources.environment", { name: source.name });
      case "flag":
        return t("sources.flag", { name: source.name });
      default:
        return t("sources.default");
    }
  };
  return (
    <Badge variant="default" tt="none" fw={400} title={source.from === "file" ? source.path : undefined}>
      {words()}
    </Badge>
  );
}

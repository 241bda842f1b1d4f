import { Button, useMantineColorScheme } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, ErrorPanel, Failure, Loading, Page } from "@/parts";
import { Chips } from "@/parts/Chips";
import { Facts } from "@/parts/Facts";
import { answered, useFocusKept } from "@/parts/useFocusKept";
import { asCommandError, platform, type SettingProblem } from "@/platform";
import { useCall } from "@/platform/react";
import { chooseLanguage, type Language, languages } from "@/words";
import { asFailure, grouped, problemsOfNoRow } from "./groups";
import { SettingRow } from "./SettingRow";
import classes from "./Settings.module.css";

/** The page's own choices first, then every setting of the core with where its value came from. */
export function SettingsScreen() {
  const { t } = useTranslation("settings");
  const settings = useCall("settings", {});
  useFocusKept(answered(settings));
  return (
    <Page title={t("title")}>
      <Look />
      <Accounts />
      {settings.isPending ? (
        <Loading rows={6} height={72} />
      ) : settings.isError ? (
        <Failure error={settings.error} onRetry={() => void settings.refetch()} />
      ) : (
        <>
          {problemsOfNoRow(settings.data).map((problem) => (
            <Problem key={`${problem.code} ${problem.key} ${problem.what}`} problem={problem} />
          ))}
          {grouped(settings.data.settings).map(([group, those]) => (
            <Section key={group} title={t(`groups.${group}`)}>
              {those.map((setting) => (
                <SettingRow key={setting.key} setting={setting} />
              ))}
            </Section>
          ))}
        </>
      )}
      <Places />
    </Page>
  );
}

/** A problem that no row shows: the file as a whole, or a key that there is not, which can be taken out from here. */
function Problem({ problem }: { problem: SettingProblem }) {
  const { t } = useTranslation("settings");
  const queries = useQueryClient();
  const { key, source } = problem;
  const remove = useMutation({
    mutationFn: (key: string) => platform.call("setting_unset", { key }),
    onSettled: () => queries.invalidateQueries({ queryKey: ["settings"] }),
  });
  return (
    <ErrorPanel
      error={remove.isError ? asCommandError(remove.error) : asFailure(problem)}
      actions={
        key && source.from === "file" ? (
          <Button loading={remove.isPending} onClick={() => remove.mutate(key)}>
            {t("removeKey")}
          </Button>
        ) : null
      }
    />
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={classes.section} aria-label={title}>
      <h2>{title}</h2>
      <div className={classes.rows}>{children}</div>
    </section>
  );
}

function Look() {
  const { t, i18n } = useTranslation("settings");
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Section title={t("groups.look")}>
      <div className={classes.row}>
        <h3>{t("language")}</h3>
        <Chips
          label={t("language")}
          value={i18n.language as Language}
          onChange={(language) => void chooseLanguage(language)}
          chips={(Object.entries(languages) as [Language, string][]).map(([value, label]) => ({ value, label }))}
        />
      </div>
      <div className={classes.row}>
        <h3>{t("theme")}</h3>
        <Chips
          label={t("theme")}
          value={colorScheme}
          onChange={setColorScheme}
          chips={(["auto", "light", "dark"] as const).map((value) => ({ value, label: t(`themes.${value}`) }))}
        />
      </div>
    </Section>
  );
}

function Accounts() {
  const { t } = useTranslation("settings");
  const navigate = useNavigate();
  return (
    <div className={classes.rows}>
      <div className={classes.row}>
        <h3>{t("accounts")}</h3>
        <div className={classes.value}>
          <span className={classes.about}>{t("accountsText")}</span>
          <Button variant="default" onClick={() => void navigate({ to: "/accounts" })}>
            {t("accountsOpen")}
          </Button>
        </div>
      </div>
    </div>
  );
}

/** Where things lie on the machine. */
function Places() {
  const { t } = useTranslation("settings");
  const about = useCall("about", {});
  if (!about.data) return null;
  return (
    <Section title={t("groups.about")}>
      <div className={classes.row}>
        <Facts
          rows={[
            [
              t("version"),
              <span key="version" className="mono">
                {about.data.version}
              </span>,
            ],
            [t("file"), <CopyId key="file" value={about.data.settingsFile} />],
            [t("dataDir"), <CopyId key="dir" value={about.data.dataDir} />],
          ]}
        />
      </div>
    </Section>
  );
}

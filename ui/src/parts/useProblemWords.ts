import { useTranslation } from "react-i18next";
import type { SettingWrong } from "@/platform";

/** Words what is wrong with a setting, and what to do; a stand-in where this page does not know the kind yet. */
export function useProblemWords(): (problem: SettingWrong, key?: string, instead?: string) => string {
  const { t, i18n } = useTranslation("settings");
  const looks = useLooks();
  return (problem, key, instead = "") =>
    i18n.exists(`settings:problems.${problem.wrong}`)
      ? t(`settings:problems.${problem.wrong}`, {
          ...problem,
          looks: "looks" in problem ? looks(key, problem.looks) : undefined,
          all: "all" in problem ? problem.all.join(", ") : undefined,
        })
      : instead;
}

/** What values of a setting look like: words where the core has English ones, else what it has. */
export function useLooks(): (key: string | undefined, looks: string) => string {
  const { t } = useTranslation("settings");
  return (key, looks) => t(`settings:values.${key}` as never, { defaultValue: looks });
}

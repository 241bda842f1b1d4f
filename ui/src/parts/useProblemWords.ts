import { useTranslation } from "react-i18next";
import type { SettingWrong } from "@/platform";

/** Words what is wrong with a setting, and what to do; a stand-in where this page does not know the kind yet. */
export function useProblemWords(): (problem: SettingWrong, instead?: string) => string {
  const { t, i18n } = useTranslation("settings");
  return (problem, instead = "") =>
    i18n.exists(`settings:problems.${problem.wrong}`)
      ? t(`settings:problems.${problem.wrong}`, {
          ...problem,
          all: "all" in problem ? problem.all.join(", ") : undefined,
        })
      : instead;
}

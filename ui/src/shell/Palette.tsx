import { createSpotlight, Spotlight, type SpotlightActionData } from "@mantine/spotlight";
import "@mantine/core/styles/ScrollArea.layer.css";
import "@mantine/spotlight/styles.layer.css";
import { useMantineColorScheme } from "@mantine/core";
import { IconDeviceDesktop, IconLanguage, IconLogout, IconMoon, IconSearch, IconSun } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { platform } from "@/platform";
import { chooseLanguage, type Language, languages } from "@/words";
import { leave } from "./leave";
import { places } from "./places";

const [store, palette] = createSpotlight();

/** The command palette: every page and what can be done from everywhere, by name. Opens whenever it is asked for once more. */
export default function Palette({ asked, onOpened }: { asked: number; onOpened: (opened: boolean) => void }) {
  const { t } = useTranslation("shell");
  const navigate = useNavigate();
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  useEffect(() => {
    if (asked > 0) palette.open();
  }, [asked]);

  const go: SpotlightActionData[] = places.map(({ to, name, icon: Icon }) => ({
    id: to,
    label: t(`nav.${name}`),
    leftSection: <Icon size={20} stroke={1.75} aria-hidden />,
    onClick: () => void navigate({ to }),
  }));
  const act: SpotlightActionData[] = [
    ...(platform.endSession
      ? [
          {
            id: "leave",
            label: t("leave"),
            leftSection: <IconLogout size={20} stroke={1.75} aria-hidden />,
            onClick: leave,
          },
        ]
      : []),
    {
      id: "light",
      label: `${t("theme.title")}: ${t("theme.light")}`,
      leftSection: <IconSun size={20} stroke={1.75} aria-hidden />,
      onClick: () => setColorScheme("light"),
    },
    {
      id: "dark",
      label: `${t("theme.title")}: ${t("theme.dark")}`,
      leftSection: <IconMoon size={20} stroke={1.75} aria-hidden />,
      onClick: () => setColorScheme("dark"),
    },
    {
      id: "system",
      label: `${t("theme.title")}: ${t("theme.system")}`,
      leftSection: <IconDeviceDesktop size={20} stroke={1.75} aria-hidden />,
      onClick: () => setColorScheme("auto"),
    },
    ...(Object.entries(languages) as [Language, string][]).map(([language, name]) => ({
      id: language,
      label: `${t("language")}: ${name}`,
      leftSection: <IconLanguage size={20} stroke={1.75} aria-hidden />,
      onClick: () => void chooseLanguage(language),
    })),
  ];

  return (
    <Spotlight
      store={store}
      shortcut={null}
      lockScroll={false}
      onSpotlightOpen={() => onOpened(true)}
      onSpotlightClose={() => onOpened(false)}
      attributes={{ content: { "aria-label": t("palette.open") } }}
      actions={[
        { group: t("palette.go"), actions: go },
        { group: t("palette.do"), actions: act },
      ]}
      nothingFound={t("palette.nothing")}
      searchProps={{
        placeholder: t("palette.placeholder"),
        "aria-label": t("palette.open"),
        leftSection: <IconSearch size={20} stroke={1.75} aria-hidden />,
      }}
    />
  );
}

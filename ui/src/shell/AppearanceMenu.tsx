import { ActionIcon, Menu, useMantineColorScheme } from "@mantine/core";
import { IconCheck, IconLanguage } from "@tabler/icons-react";
import { useTranslation } from "react-i18next";
import { chooseLanguage, type Language, languages } from "@/words";

/** Language and theme: the page's own choices. */
export function AppearanceMenu() {
  const { t } = useTranslation("shell");
  return (
    <Menu position="top-end" width={220}>
      <Menu.Target>
        <ActionIcon size="lg" aria-label={`${t("language")}, ${t("theme.title")}`}>
          <IconLanguage size={20} stroke={1.75} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Items />
      </Menu.Dropdown>
    </Menu>
  );
}

function Items() {
  const { t, i18n } = useTranslation("shell");
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const tick = (chosen: boolean) => (chosen ? <IconCheck size={16} aria-hidden /> : <span className="blank" />);
  return (
    <>
      <Menu.Label>{t("theme.title")}</Menu.Label>
      {(["light", "dark", "auto"] as const).map((scheme) => (
        <Menu.Item
          key={scheme}
          role="menuitemradio"
          aria-checked={colorScheme === scheme}
          leftSection={tick(colorScheme === scheme)}
          onClick={() => setColorScheme(scheme)}
        >
          {t(`theme.${scheme === "auto" ? "system" : scheme}`)}
        </Menu.Item>
      ))}
      <Menu.Label>{t("language")}</Menu.Label>
      {(Object.entries(languages) as [Language, string][]).map(([language, name]) => (
        <Menu.Item
          key={language}
          lang={language}
          role="menuitemradio"
          aria-checked={i18n.language === language}
          leftSection={tick(i18n.language === language)}
          onClick={() => void chooseLanguage(language)}
        >
          {name}
        </Menu.Item>
      ))}
    </>
  );
}

AppearanceMenu.Items = Items;

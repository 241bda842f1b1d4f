import { Button, Text } from "@mantine/core";
import { IconChevronRight, IconLogout } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { Page } from "@/parts/Page";
import { platform } from "@/platform";
import { leave } from "./leave";
import classes from "./MoreScreen.module.css";
import { ON_PHONES, places } from "./places";
import { useWhose } from "./whose";

/** The places that a phone's bar has no room for. */
export function MoreScreen() {
  const { t } = useTranslation("shell");
  const whose = useWhose();
  return (
    <Page title={t("nav.more")} narrow>
      <nav className={classes.list} aria-label={t("nav.more")}>
        {places.slice(ON_PHONES).map(({ to, name, icon: Icon }) => (
          <Link key={to} to={to} className={classes.place}>
            <Icon size={24} stroke={1.75} aria-hidden />
            <span className={classes.words}>
              <span>{t(`nav.${name}`)}</span>
              {name === "accounts" && whose && (
                <Text component="span" size="sm" c="dimmed">
                  {whose}
                </Text>
              )}
            </span>
            <IconChevronRight size={20} stroke={1.75} aria-hidden />
          </Link>
        ))}
      </nav>
      {platform.endSession && (
        <Button
          variant="default"
          size="lg"
          fullWidth
          leftSection={<IconLogout size={20} stroke={1.75} aria-hidden />}
          onClick={leave}
        >
          {t("leave")}
        </Button>
      )}
    </Page>
  );
}

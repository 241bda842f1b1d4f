import { Button } from "@mantine/core";
import { IconFlask, IconPlugConnectedX, IconWifiOff } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { useFocusKept } from "@/parts/useFocusKept";
import { platform } from "@/platform";
import classes from "./Banners.module.css";
import { useStanding } from "./standing";

/** What holds for all pages at the moment and must not be missed. */
export function Banners() {
  const { t } = useTranslation("shell");
  const { latest, error } = useStanding();
  const [ending, setEnding] = useState(false);
  const demo = latest?.demo.state ?? "off";
  // The button that ends the demo goes with it.
  useFocusKept(latest && demo);
  const endDemo = () => {
    setEnding(true);
    void platform
      .call("demo_stop", {})
      .catch(() => undefined)
      .finally(() => setEnding(false));
  };
  return (
    <div className={classes.banners} role="status">
      {error && (
        <Banner kind="bad" icon={<IconPlugConnectedX size={20} stroke={1.75} aria-hidden />}>
          {t("lost")}
        </Banner>
      )}
      {latest && !latest.online && demo !== "on" && (
        <Banner kind="warn" icon={<IconWifiOff size={20} stroke={1.75} aria-hidden />}>
          {t("offline")}
        </Banner>
      )}
      {demo !== "off" && (
        <Banner
          kind="demo"
          icon={<IconFlask size={20} stroke={1.75} aria-hidden />}
          action={
            demo !== "starting" && (
              <Button size="compact-sm" variant="default" loading={ending} onClick={endDemo}>
                {t("demo.stop")}
              </Button>
            )
          }
        >
          {t(`demo.${demo}`)}
        </Banner>
      )}
    </div>
  );
}

function Banner({
  kind,
  icon,
  action,
  children,
}: {
  kind: string;
  icon: ReactNode;
  action?: ReactNode;
  children: ReactNode;
}) {
  return (
    <div className={classes.banner} data-kind={kind}>
      {icon}
      <span className={classes.words}>{children}</span>
      {action}
    </div>
  );
}

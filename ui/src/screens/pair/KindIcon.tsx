import { IconBluetooth, IconCpu, IconPlug, IconWifi } from "@tabler/icons-react";
import classes from "./KindIcon.module.css";

/** A picture of how a device is reached. */
export function KindIcon({ link, size = 20 }: { link?: string; size?: number }) {
  const scheme = link?.split(":")[0] ?? "";
  const Icon =
    scheme === "ble" ? IconBluetooth : scheme === "serial" ? IconPlug : scheme.startsWith("http") ? IconWifi : IconCpu;
  return (
    <span className={classes.kind} data-big={size > 24 || undefined} aria-hidden>
      <Icon size={size} stroke={1.6} />
    </span>
  );
}

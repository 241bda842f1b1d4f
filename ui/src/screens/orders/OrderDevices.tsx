import { TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, Failure, Loading, When } from "@/parts";
import cards from "@/parts/Cards.module.css";
import { Mark, type Meaning } from "@/parts/Mark";
import type { OrderDevice, WorkOrder } from "@/platform";
import { useCall } from "@/platform/react";
import classes from "./Orders.module.css";

const MEANING: Record<OrderDevice["lifecycle"], Meaning> = {
  expected: "none",
  allocated: "waiting",
  assigned: "good",
  failed: "bad",
  decommissioned: "none",
};

/** The devices of an order. Lists leave them out, so they are asked for when somebody opens this. */
export function OrderDevices({ order, offline }: { order: WorkOrder; offline: boolean }) {
  const here = order.devices ?? [];
  const known = offline || here.length > 0;
  const asked = useCall("order", { id: order.id }, !known);
  if (known) return <Devices devices={here} />;
  if (asked.isPending) return <Loading rows={2} height={32} />;
  if (asked.isError) return <Failure error={asked.error} onRetry={() => void asked.refetch()} />;
  return <Devices devices={asked.data.order.devices ?? []} />;
}

/** As many as there are, a thousand or one: only those in sight are on the page. */
function Devices({ devices }: { devices: OrderDevice[] }) {
  const { t } = useTranslation("orders");
  const [text, setText] = useState("");
  const scroller = useRef<HTMLDivElement>(null);
  const wanted = text.trim().toLowerCase();
  const shown = wanted ? devices.filter((device) => device.registrationId.toLowerCase().includes(wanted)) : devices;
  const rows = useVirtualizer({
    count: shown.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 44,
    overscan: 8,
  });
  if (devices.length === 0) return <p className={cards.note}>{t("noneNamed")}</p>;
  return (
    <div className={classes.list}>
      <p className={cards.note}>{t("named", { count: devices.length })}</p>
      {devices.length > 10 && (
        <TextInput
          type="search"
          aria-label={t("devicesFilter")}
          placeholder={t("devicesFilter")}
          leftSection={<IconSearch size={16} stroke={1.75} aria-hidden />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a place that scrolls must be reachable with the keyboard */}
      <section ref={scroller} className={classes.scroller} tabIndex={0} aria-label={t("devices")}>
        <ul className={classes.virtual} style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((item) => {
            const device = shown[item.index];
            return (
              device && (
                <li
                  key={device.registrationId}
                  ref={rows.measureElement}
                  data-index={item.index}
                  style={{ transform: `translateY(${item.start}px)` }}
                >
                  <CopyId value={device.registrationId} />
                  <span className={classes.stand}>
                    {device.startsAt && (
                      <span className={cards.note}>
                        {t("turn")} <When at={device.startsAt} />
                      </span>
                    )}
                    <Mark meaning={MEANING[device.lifecycle] ?? "none"} size={16}>
                      {t(`lifecycle.${device.lifecycle}`)}
                    </Mark>
                  </span>
                </li>
              )
            );
          })}
        </ul>
      </section>
    </div>
  );
}

import { Button } from "@mantine/core";
import { IconClipboardList, IconCloudOff, IconDownload, IconRefresh } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, Empty, ErrorPanel, Failure, Loading, Page, When } from "@/parts";
import cards from "@/parts/Cards.module.css";
import { Disclosure } from "@/parts/Disclosure";
import { Facts } from "@/parts/Facts";
import { Mark } from "@/parts/Mark";
import { answered, useFocusKept } from "@/parts/useFocusKept";
import { asCommandError, type OrderDownloaded, type OrderSeen, platform } from "@/platform";
import { useCall } from "@/platform/react";
import { useStanding } from "@/shell/standing";
import { formatNumber } from "@/words";
import { OrderDevices } from "./OrderDevices";
import classes from "./Orders.module.css";
import { downloadStands, orderStands } from "./stands";

/** The account's work orders, and taking them along to places without a network. */
export function OrdersScreen() {
  const { t } = useTranslation("orders");
  const orders = useCall("orders", {});
  useFocusKept(answered(orders));
  const { latest } = useStanding();
  const { refetch } = orders;
  const online = latest?.online;

  // A network that comes back brings the server's own list.
  useEffect(() => {
    if (online) void refetch();
  }, [online, refetch]);

  return (
    <Page
      title={t("title")}
      actions={
        <Button
          variant="default"
          leftSection={<IconRefresh size={16} stroke={1.75} aria-hidden />}
          loading={orders.isFetching && !orders.isPending}
          onClick={() => void orders.refetch()}
        >
          {t("refresh")}
        </Button>
      }
    >
      {orders.isPending ? (
        <Loading rows={3} height={150} />
      ) : orders.isError ? (
        <Failure error={orders.error} onRetry={() => void orders.refetch()} />
      ) : (
        <>
          {!orders.data.asked && (
            <p className={classes.offline} role="status">
              <IconCloudOff size={20} stroke={1.75} aria-hidden />
              {t("notAsked")}
            </p>
          )}
          {orders.data.orders.length === 0 ? (
            <Empty icon={IconClipboardList} title={t("emptyTitle")}>
              {t("emptyText")}
            </Empty>
          ) : (
            <ul className={`${cards.cards} ${classes.orders}`}>
              {orders.data.orders.map((seen) => (
                <Order key={seen.order.id} seen={seen} offline={!orders.data.asked} />
              ))}
            </ul>
          )}
        </>
      )}
    </Page>
  );
}

function Order({ seen, offline }: { seen: OrderSeen; offline: boolean }) {
  const { t, i18n } = useTranslation("orders");
  const queries = useQueryClient();
  const { order, downloaded } = seen;
  const download = useMutation({
    mutationFn: () => platform.call("order_download", { id: order.id }),
    onSettled: () => queries.invalidateQueries({ queryKey: ["orders"] }),
  });
  const stands = orderStands(order);
  const kept = downloadStands(downloaded?.notAfter, new Date());
  return (
    <li className={cards.card}>
      <div className={cards.head}>
        <h2>{order.site}</h2>
        <Mark meaning={stands === "open" ? "good" : stands === "later" ? "waiting" : "none"}>
          {t(`states.${stands}`)}
        </Mark>
      </div>
      <Facts
        columns
        rows={[
          [
            t("devices"),
            order.anyOf &&
              t(order.anyOf.model ? "anyOf" : "anyDevice", {
                model: order.anyOf.model,
                taken: formatNumber(i18n.language, order.taken),
                atMost: formatNumber(i18n.language, order.anyOf.atMost),
              }),
          ],
          [t("opens"), order.opens && <When at={order.opens} />],
          [t("closes"), order.closes && <When at={order.closes} />],
          [
            t("hours"),
            order.hours && t("hoursOf", { from: order.hours.from, to: order.hours.until, zone: order.hours.timeZone }),
          ],
          [t("tenant"), order.tenant],
        ]}
      />
      <Facts rows={[[t("id"), <CopyId key="id" value={order.id} />]]} />
      {order.schedule && <p className={cards.note}>{t("schedule")}</p>}
      <Disclosure title={t("devices")}>
        <OrderDevices order={order} offline={offline} />
      </Disclosure>
      <div className={classes.foot}>
        <div className={classes.kept} role="status">
          {kept === "usable" && downloaded && (
            <>
              <Mark meaning="good">{t("downloaded")}</Mark>
              <span className={cards.note}>
                {t("usableUntil")} <When at={downloaded.notAfter} />
              </span>
            </>
          )}
          {kept === "ended" && <Mark meaning="warn">{t("ended")}</Mark>}
          {download.isPending && <span className="unseen">{t("downloading")}</span>}
        </div>
        {!offline && stands === "open" && (
          <Button
            variant={kept === "none" ? "filled" : "default"}
            leftSection={<IconDownload size={16} stroke={1.75} aria-hidden />}
            loading={download.isPending}
            onClick={() => download.mutate()}
          >
            {t(kept === "none" ? "download" : "downloadAgain")}
          </Button>
        )}
      </div>
      {kept === "usable" && downloaded && <Brought downloaded={downloaded} />}
      {download.isError && <ErrorPanel error={asCommandError(download.error)} onRetry={() => download.mutate()} />}
    </li>
  );
}

/** What the download brought: how many can do without the server, and why others cannot. */
function Brought({ downloaded }: { downloaded: OrderDownloaded }) {
  const { t } = useTranslation("orders");
  return (
    <div className={classes.brought} role="status">
      <Mark meaning={downloaded.sealed.length > 0 ? "good" : "warn"}>
        {t("offline", { count: downloaded.sealed.length })}
      </Mark>
      {downloaded.online.length > 0 && (
        <Disclosure title={t("online", { count: downloaded.online.length })}>
          <ul className={classes.devices}>
            {downloaded.online.map(({ registrationId, reason }) => (
              <li key={registrationId}>
                <CopyId value={registrationId} />
                <span className={cards.note}>{t(`reasons.${reason}`, { defaultValue: t("reasons.unknown") })}</span>
              </li>
            ))}
          </ul>
        </Disclosure>
      )}
    </div>
  );
}

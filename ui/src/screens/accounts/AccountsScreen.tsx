import { Alert, Badge, Button, Group, Modal, Text } from "@mantine/core";
import "@mantine/core/styles/Alert.layer.css";
import { IconUserCircle } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, Empty, ErrorPanel, Failure, Loading, Page, When } from "@/parts";
import cards from "@/parts/Cards.module.css";
import { Facts } from "@/parts/Facts";
import { Mark } from "@/parts/Mark";
import { answered, useFocusKept } from "@/parts/useFocusKept";
import { type AccountSeen, asCommandError, platform } from "@/platform";
import { useCall } from "@/platform/react";
import { useStanding } from "@/shell/standing";
import classes from "./Accounts.module.css";
import { byServer } from "./servers";

type Leaving = { account: AccountSeen; how: "account_sign_out" | "account_remove" };

/** Servers and accounts side by side: who is signed in where, and as whom this program works. */
export function AccountsScreen() {
  const { t } = useTranslation(["accounts", "codes"]);
  const navigate = useNavigate();
  const { latest } = useStanding();
  const queries = useQueryClient();
  const accounts = useCall("accounts", {});
  useFocusKept(answered(accounts));
  const [leaving, setLeaving] = useState<Leaving>();
  const again = () => queries.invalidateQueries({ queryKey: ["accounts"] });
  const use = useMutation({
    mutationFn: (name: string) => platform.call("account_use", { name }),
    onSettled: again,
  });
  const leave = useMutation({
    mutationFn: ({ account, how }: Leaving) => platform.call(how, { name: account.name }),
    onSuccess: () => setLeaving(undefined),
    onSettled: again,
  });
  const signIn = () => void navigate({ to: "/sign-in" });

  return (
    <Page
      title={t("accounts:title")}
      actions={
        accounts.data && accounts.data.all.length > 0 && <Button onClick={signIn}>{t("accounts:signIn")}</Button>
      }
    >
      {latest?.byToken && (
        <Alert variant="light" color="gray" p="sm">
          {t("accounts:tokenGiven")}
        </Alert>
      )}
      {use.isError && <ErrorPanel error={asCommandError(use.error)} />}
      {leave.isSuccess && leave.data.notRevoked && (
        <Alert variant="light" color="amber" p="sm" role="status">
          {t("accounts:notRevoked")}
        </Alert>
      )}
      {accounts.isPending ? (
        <Loading rows={2} height={140} />
      ) : accounts.isError ? (
        <Failure error={accounts.error} onRetry={() => void accounts.refetch()} />
      ) : accounts.data.all.length === 0 ? (
        <Empty
          icon={IconUserCircle}
          title={t("accounts:emptyTitle")}
          action={<Button onClick={signIn}>{t("accounts:signIn")}</Button>}
        >
          {t("accounts:emptyText")}
        </Empty>
      ) : (
        byServer(accounts.data.all).map(([server, those]) => (
          <section key={server} className={classes.server} aria-label={server}>
            <h2>
              <CopyId value={server} label={t("accounts:server")} />
            </h2>
            <ul className={cards.cards}>
              {those.map((account) => (
                <li
                  key={account.name}
                  className={`${cards.card} ${classes.account}`}
                  data-current={account.current || undefined}
                >
                  <div className={cards.head}>
                    <h3>{account.person}</h3>
                    {account.current && (
                      <Badge variant="light" size="lg" tt="none">
                        {t("accounts:current")}
                      </Badge>
                    )}
                  </div>
                  <Mark meaning={account.signedOut ? "warn" : "good"}>
                    {t(account.signedOut ? "accounts:signedOut" : "accounts:signedIn")}
                  </Mark>
                  <Facts
                    rows={[
                      [t("accounts:role"), t(`codes:roles.${account.role}`)],
                      [t("accounts:tenant"), account.tenant ?? t("accounts:everyTenant")],
                      [t("accounts:since"), !account.signedOut && <When at={account.signedInAt} />],
                      [t("codes:topics.tls"), account.hasCa && t("accounts:extraCa")],
                    ]}
                  />
                  <div className={classes.actions}>
                    {account.signedOut ? (
                      <Button size="sm" onClick={signIn}>
                        {t("accounts:signInAgain")}
                      </Button>
                    ) : (
                      !account.current && (
                        <Button
                          size="sm"
                          loading={use.isPending && use.variables === account.name}
                          onClick={() => use.mutate(account.name)}
                        >
                          {t("accounts:use")}
                        </Button>
                      )
                    )}
                    {!account.signedOut && (
                      <Button
                        size="sm"
                        variant="default"
                        onClick={() => setLeaving({ account, how: "account_sign_out" })}
                      >
                        {t("accounts:signOut")}
                      </Button>
                    )}
                    <Button
                      size="sm"
                      variant="subtle"
                      color="red"
                      onClick={() => setLeaving({ account, how: "account_remove" })}
                    >
                      {t("accounts:remove")}
                    </Button>
                  </div>
                </li>
              ))}
            </ul>
          </section>
        ))
      )}
      <Leave
        leaving={leaving}
        busy={leave.isPending}
        error={leave.error}
        onLeave={(which) => leave.mutate(which)}
        onStay={() => {
          leave.reset();
          setLeaving(undefined);
        }}
      />
    </Page>
  );
}

/** Says what will happen before it does. */
function Leave({
  leaving,
  busy,
  error,
  onLeave,
  onStay,
}: {
  leaving?: Leaving;
  busy: boolean;
  error: unknown;
  onLeave: (leaving: Leaving) => void;
  onStay: () => void;
}) {
  const { t } = useTranslation("accounts");
  const which = leaving?.how === "account_remove" ? "remove" : "signOut";
  return (
    <Modal
      opened={leaving !== undefined}
      onClose={onStay}
      title={leaving && t(`${which}Title`, { person: leaving.account.person })}
      closeButtonProps={{ "aria-label": t("cancel") }}
    >
      <Text size="sm">{t(`${which}Text`)}</Text>
      {error !== null && error !== undefined && <ErrorPanel error={asCommandError(error)} />}
      <Group justify="flex-end" mt="lg" gap="xs">
        <Button variant="default" onClick={onStay} data-autofocus>
          {t("cancel")}
        </Button>
        <Button
          color={which === "remove" ? "red" : undefined}
          loading={busy}
          onClick={() => leaving && onLeave(leaving)}
        >
          {t(which)}
        </Button>
      </Group>
    </Modal>
  );
}

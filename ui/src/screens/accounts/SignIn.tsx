import { Alert, Button, Textarea, TextInput } from "@mantine/core";
import "@mantine/core/styles/Alert.layer.css";
import { IconCircleCheck, IconExternalLink } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type FormEvent, type ReactNode, type Ref, useCallback, useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { CopyId, ErrorPanel } from "@/parts";
import cards from "@/parts/Cards.module.css";
import { Chips } from "@/parts/Chips";
import { Disclosure } from "@/parts/Disclosure";
import { Scanner } from "@/parts/scanner";
import { useFocusKept } from "@/parts/useFocusKept";
import { asCommandError, platform } from "@/platform";
import { formatSeconds } from "@/words";
import classes from "./Accounts.module.css";
import { QrPicture } from "./QrPicture";
import { serverAddress } from "./servers";
import { type SignInState, type SignInWith, useSignIn } from "./useSignIn";

type Way = SignInWith["way"];

/** All ways of signing in: the invite first, for it asks for nothing to be typed. */
export function SignInWays({ invite }: { invite?: string }) {
  const { t } = useTranslation("accounts");
  const queries = useQueryClient();
  const [way, setWay] = useState<Way>("invite");
  const { state, start, cancel } = useSignIn(() => void queries.invalidateQueries());
  const ways: Way[] = platform.host === "desktop" ? ["invite", "browser", "device-code"] : ["invite", "device-code"];
  const waiting = useFocusKept(state.stage);

  if (state.stage === "done") return <Done state={state} />;
  if (state.stage === "waiting") return <Waiting ref={waiting} state={state} onCancel={cancel} />;
  return (
    <div className={classes.ways}>
      <Chips
        label={t("in.ways")}
        value={way}
        onChange={(value) => {
          cancel();
          setWay(value);
        }}
        chips={ways.map((value) => ({ value, label: t(`in.way.${value}`) }))}
      />
      <p className={cards.note}>{t(`in.about.${way}`)}</p>
      {state.stage === "failed" && <ErrorPanel error={state.error} actions={<Again onClick={cancel} />} />}
      {way === "invite" ? (
        <Invite given={invite} onSignIn={start} />
      ) : (
        <AtServer key={way} onSignIn={(at) => start({ way, ...at })} />
      )}
    </div>
  );
}

/** Whatever went wrong here is mended on this page: the error's own button would lead to where the person is, or away. */
function Again({ onClick }: { onClick: () => void }) {
  const { t } = useTranslation();
  return <Button onClick={onClick}>{t("tryAgain")}</Button>;
}

/** An invite is read first, so that the person sees where it leads before it is used up. */
function Invite({ given, onSignIn }: { given?: string; onSignIn: (args: SignInWith) => void }) {
  const { t } = useTranslation("accounts");
  const [caPem, setCaPem] = useState("");
  const read = useMutation({
    mutationFn: (what: { text: string } | { base64: string }) =>
      "text" in what ? platform.call("invite_read", what) : platform.call("invite_read_picture", what),
  });
  const { mutate } = read;
  const found = useFocusKept(read.status);
  const id = useId();
  useEffect(() => {
    if (given) mutate({ text: given });
  }, [given, mutate]);
  const onText = useCallback((text: string) => mutate({ text }), [mutate]);
  const onPicture = useCallback((base64: string) => mutate({ base64 }), [mutate]);

  if (read.isSuccess) {
    return (
      <section ref={found} className={`${cards.card} ${classes.way}`} aria-labelledby={`${id}-for ${id}-host`}>
        <p id={`${id}-for`}>{t("in.inviteFor")}</p>
        <p id={`${id}-host`} className={classes.serverName}>
          {read.data.host}
        </p>
        <Ca value={caPem} onChange={setCaPem} />
        <Button
          size="lg"
          fullWidth
          onClick={() => onSignIn({ way: "invite", inviteId: read.data.inviteId, ...(caPem.trim() ? { caPem } : {}) })}
        >
          {t("in.start")}
        </Button>
        <Button variant="subtle" color="gray" onClick={read.reset}>
          {t("in.other")}
        </Button>
      </section>
    );
  }
  return (
    <>
      {read.isError && <ErrorPanel error={asCommandError(read.error)} actions={<Again onClick={read.reset} />} />}
      <Scanner what="invite" busy={read.isPending} onText={onText} onPicture={onPicture} />
    </>
  );
}

function AtServer({ onSignIn }: { onSignIn: (at: { server: string; caPem?: string }) => void }) {
  const { t } = useTranslation("accounts");
  const [typed, setTyped] = useState("");
  const [caPem, setCaPem] = useState("");
  const [missing, setMissing] = useState(false);
  function submit(event: FormEvent) {
    event.preventDefault();
    const server = serverAddress(typed);
    setMissing(!server);
    if (server) onSignIn({ server, ...(caPem.trim() ? { caPem } : {}) });
  }
  return (
    <form className={classes.form} onSubmit={submit} noValidate>
      <TextInput
        label={t("in.server")}
        placeholder={t("in.serverExample")}
        inputMode="url"
        autoComplete="url"
        autoCapitalize="none"
        spellCheck={false}
        size="md"
        value={typed}
        error={missing && t("in.serverNeeded")}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
      <Ca value={caPem} onChange={setCaPem} />
      <Button type="submit" size="lg">
        {t("in.start")}
      </Button>
    </form>
  );
}

/** The company's own CA: rarely needed, so it is behind a click. */
function Ca({ value, onChange }: { value: string; onChange: (pem: string) => void }) {
  const { t } = useTranslation("accounts");
  return (
    <Disclosure title={t("in.caOn")}>
      <Textarea
        className={classes.caText}
        label={t("in.ca")}
        description={t("in.caAbout")}
        placeholder="-----BEGIN CERTIFICATE-----"
        autosize={false}
        rows={5}
        spellCheck={false}
        value={value}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    </Disclosure>
  );
}

function Waiting({
  ref,
  state,
  onCancel,
}: {
  ref: Ref<HTMLElement>;
  state: Extract<SignInState, { stage: "waiting" }>;
  onCancel: () => void;
}) {
  const { t } = useTranslation("accounts");
  return (
    <section ref={ref} className={`${cards.card} ${classes.way}`} aria-label={t("in.waiting")} aria-live="polite">
      {state.deviceCode ? (
        <DeviceCode {...state.deviceCode} />
      ) : state.browser ? (
        <>
          <p>{t("in.opening")}</p>
          <Button
            variant="default"
            leftSection={<IconExternalLink size={16} stroke={1.75} aria-hidden />}
            onClick={() => void platform.openExternal(state.browser ?? "")}
          >
            {t("in.openAgain")}
          </Button>
        </>
      ) : (
        <p>{t("in.waiting")}</p>
      )}
      <Button variant="subtle" color="gray" onClick={onCancel}>
        {t("cancel")}
      </Button>
    </section>
  );
}

function DeviceCode({ url, qr, code, expiresAt }: { url: string; qr: string; code: string; expiresAt: string }) {
  const { t, i18n } = useTranslation("accounts");
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.ceil((Date.parse(expiresAt) - now) / 1000));
  return (
    <>
      <p>{t("in.enterCode")}</p>
      <CopyId value={url} />
      <output className={classes.code} aria-label={t("in.code")}>
        {code}
      </output>
      <QrPicture className={classes.qr} text={qr} label={t("in.qr")} />
      {/* The seconds are not read out one by one. */}
      <p className="figures" aria-live="off">
        {t("in.expires", { time: formatSeconds(i18n.language, left) })}
      </p>
      <p>{t("in.waiting")}</p>
    </>
  );
}

function Done({ state }: { state: Extract<SignInState, { stage: "done" }> }): ReactNode {
  const { t, i18n } = useTranslation(["accounts", "codes"]);
  const navigate = useNavigate();
  const next = useRef<HTMLButtonElement>(null);
  useEffect(() => next.current?.focus(), []);
  const { account, clockWrongByS, renewable } = state;
  return (
    <section className={`${cards.card} ${classes.way} ${classes.done}`} role="status">
      <IconCircleCheck size={40} stroke={1.75} aria-hidden color="var(--lt-good)" />
      <h2>{t("accounts:in.done")}</h2>
      <p>
        {t("accounts:in.doneAs", {
          person: account.person,
          server: account.server,
          role: t(`codes:roles.${account.role}`),
        })}
      </p>
      {!renewable && <p>{t("accounts:in.notRenewable")}</p>}
      {clockWrongByS !== undefined && (
        <Alert variant="light" color="amber" p="sm">
          {t("accounts:in.clock", { time: formatSeconds(i18n.language, Math.abs(clockWrongByS)) })}
        </Alert>
      )}
      <Button ref={next} size="lg" fullWidth onClick={() => void navigate({ to: "/" })}>
        {t("accounts:in.pair")}
      </Button>
      <Button variant="subtle" color="gray" onClick={() => void navigate({ to: "/accounts" })}>
        {t("accounts:in.toAccounts")}
      </Button>
    </section>
  );
}

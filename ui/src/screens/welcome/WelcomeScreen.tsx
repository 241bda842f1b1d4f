import { Button, Text, Title } from "@mantine/core";
import { IconFlask, IconLogin2 } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { useTranslation } from "react-i18next";
import { ErrorPanel } from "@/parts/ErrorPanel";
import { Page } from "@/parts/Page";
import { useFocusKept } from "@/parts/useFocusKept";
import type { Standing } from "@/platform";
import { useCall } from "@/platform/react";
import { useDemo } from "./demo";
import classes from "./WelcomeScreen.module.css";

/** How many devices a newcomer's demo has: one of each kind of link. */
const DEVICES = 3;

/** The first run: sign in, or try it with simulated devices. Nothing else is asked. */
export function WelcomeScreen({ standing }: { standing: Standing }) {
  const { t } = useTranslation("welcome");
  const about = useCall("about", {});
  const again = standing.account?.signedOut;
  return (
    <Page
      title={t(again ? "again.title" : "title")}
      sub={<Text c="dimmed">{t(again ? "again.text" : "text")}</Text>}
      narrow
    >
      {standing.problem && <ErrorPanel error={standing.problem} />}
      <section className={classes.way} aria-labelledby="sign-in">
        <IconLogin2 size={32} stroke={1.5} aria-hidden className={classes.icon} />
        <div className={classes.words}>
          <Title order={2} id="sign-in">
            {t("signIn.title")}
          </Title>
          <Text>{t("signIn.text")}</Text>
        </div>
        <Button size="lg" fullWidth component={Link} to="/sign-in">
          {t("signIn.go")}
        </Button>
      </section>
      {about.data?.demoPossible && <Demo standing={standing} />}
    </Page>
  );
}

function Demo({ standing }: { standing: Standing }) {
  const { t } = useTranslation("welcome");
  const { parts, error, start, stop, starting } = useDemo();
  const busy = starting || standing.demo.state === "starting";
  const failed = error ?? (standing.demo.state === "failed" ? standing.demo.error : undefined);
  const place = useFocusKept(busy ? "starting" : "idle");
  return (
    <section className={classes.way} aria-labelledby="demo" data-demo>
      <IconFlask size={32} stroke={1.5} aria-hidden className={classes.icon} />
      <div className={classes.words}>
        <Title order={2} id="demo">
          {t("demo.title")}
        </Title>
        <Text>{t("demo.text", { count: DEVICES })}</Text>
      </div>
      {busy ? (
        <div className={classes.starting}>
          <div ref={place} role="status" className={classes.words}>
            <Text fw={600}>{t("demo.starting")}</Text>
            <Text size="sm" c="dimmed" className="figures">
              {parts.length === 0 ? t("demo.first") : t("demo.parts", { count: parts.length, name: parts.at(-1) })}
            </Text>
          </div>
          <Button variant="default" onClick={stop}>
            {t("common:cancel")}
          </Button>
        </div>
      ) : (
        <Button ref={place} size="lg" fullWidth variant="default" onClick={() => start(DEVICES)}>
          {t("demo.go")}
        </Button>
      )}
      {failed && !busy && (
        <div className={classes.full}>
          <ErrorPanel error={failed} onRetry={() => start(DEVICES)} />
        </div>
      )}
    </section>
  );
}

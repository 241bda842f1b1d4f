import { useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Page } from "@/parts";
import { SignInWays } from "./SignIn";

/** Signing in. An invite that was handed over (a link, a QR code read elsewhere) comes in the history's state. */
export function SignInScreen() {
  const { t } = useTranslation("accounts");
  const navigate = useNavigate();
  const handed = useRouterState({ select: (state) => (state.location.state as { invite?: string }).invite });
  const [invite, setInvite] = useState(handed);

  // It is a secret: once it is here, the history needs it no longer.
  useEffect(() => {
    if (!handed) return;
    setInvite(handed);
    void navigate({ to: "/sign-in", replace: true, state: {} });
  }, [handed, navigate]);

  return (
    <Page title={t("in.title")} narrow>
      <SignInWays key={invite} invite={invite} />
    </Page>
  );
}

import { Button } from "@mantine/core";
import { useNavigate, useRouterState } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { type Action, type CommandError, copyText } from "@/platform";
import { errorDetails } from "./details";

/** Where an action is done: again from here, on another page, or by somebody who needs the details. */
export type Way = { kind: "retry" } | { kind: "go"; to: "/sign-in" | "/settings" | "/doctor" | "/" } | { kind: "copy" };

/** Which way each action of an error leads. */
export function wayOf(action: Action): Way {
  switch (action) {
    case "sign-in-again":
      return { kind: "go", to: "/sign-in" };
    case "check-settings":
      return { kind: "go", to: "/settings" };
    case "check-label":
    case "check-pop":
    case "check-link":
      return { kind: "go", to: "/" };
    // There is what support asks for: the report, the version and the logs.
    case "check-clock":
    case "contact-support":
    case "update-app":
      return { kind: "go", to: "/doctor" };
    case "ask-administrator":
    case "update-firmware":
      return { kind: "copy" };
    default:
      // What the person does outside of this program (go nearer, press the button, wait) ends in: again.
      return { kind: "retry" };
  }
}

/** The button that does what the error asks for, and "Try again" beside it where it leads elsewhere. */
export function useActionButton(error: CommandError, onRetry?: () => void, size?: string): ReactNode {
  const { t } = useTranslation(["codes", "common"]);
  const navigate = useNavigate();
  const [copied, setCopied] = useState(false);
  const here = useRouterState({ select: (state) => state.location.pathname });
  const way = wayOf(error.action);
  const words = t(`codes:actions.${error.action}` as never) as string;
  const again = onRetry && (
    <Button size={size} variant="default" onClick={onRetry}>
      {t("common:tryAgain")}
    </Button>
  );
  switch (way.kind) {
    case "retry":
      return (
        onRetry && (
          <Button size={size} onClick={onRetry}>
            {words}
          </Button>
        )
      );
    case "go":
      // Whoever is there already would press a button that does nothing.
      if (way.to === here) return again;
      return (
        <>
          <Button size={size} onClick={() => void navigate({ to: way.to })}>
            {words}
          </Button>
          {again}
        </>
      );
    case "copy":
      return (
        <>
          <Button size={size} onClick={() => void copyText(errorDetails(error)).then(setCopied)}>
            {copied ? t("common:copied") : words}
          </Button>
          {again}
        </>
      );
  }
}

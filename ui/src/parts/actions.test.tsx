import { fireEvent, screen, waitFor } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { Action, CommandError } from "@/platform";
import { renderPage } from "@/test-page";
import de from "../locales/de/codes.json";
import en from "../locales/en/codes.json";
import es from "../locales/es/codes.json";
import zh from "../locales/zh/codes.json";
import { type Way, wayOf } from "./actions";
import { ErrorPanel } from "./ErrorPanel";

/** One line an action: the compiler says when the core has a new one. */
const WAYS: Record<Action, Way> = {
  retry: { kind: "retry" },
  wait: { kind: "retry" },
  "sign-in-again": { kind: "go", to: "/sign-in" },
  "grant-permission": { kind: "retry" },
  "move-closer": { kind: "retry" },
  "press-button": { kind: "retry" },
  "check-pop": { kind: "go", to: "/" },
  "check-label": { kind: "go", to: "/" },
  "check-link": { kind: "go", to: "/" },
  "check-wifi": { kind: "retry" },
  "check-internet": { kind: "retry" },
  "check-clock": { kind: "go", to: "/doctor" },
  "check-settings": { kind: "go", to: "/settings" },
  "free-disk-space": { kind: "retry" },
  "update-app": { kind: "go", to: "/doctor" },
  "update-firmware": { kind: "copy" },
  "ask-administrator": { kind: "copy" },
  "contact-support": { kind: "go", to: "/doctor" },
  nothing: { kind: "retry" },
};

/** What a button that leads this way may say. The first page has the scanner and the devices nearby. */
const SAYS: Record<string, string[]> = {
  retry: ["Try again"],
  copy: ["Copy details"],
  "/sign-in": ["Sign in"],
  "/settings": ["Open settings"],
  "/doctor": ["Open Doctor"],
  "/": ["Scan the label again", "Choose another device"],
};

const actions = Object.entries(WAYS) as [Action, Way][];
const failed = (action: Action): CommandError => ({ code: "internal", action, hint: "" });

describe("the button of an error", () => {
  it.each(actions)("does what %s asks for", (action, way) => {
    expect(wayOf(action)).toEqual(way);
  });

  it.each(actions)("says of %s what it does", (action, way) => {
    expect(SAYS[way.kind === "go" ? way.to : way.kind]).toContain(en.actions[action]);
  });

  it.each(Object.entries({ de, es, zh }))("says in %s for one way what it says in English", (_, { actions: said }) => {
    const meant = new Map<string, string>();
    for (const [action] of actions) {
      const before = meant.get(said[action]) ?? en.actions[action];
      expect({ action, says: said[action], means: en.actions[action] }).toMatchObject({ means: before });
      meant.set(said[action], before);
    }
    expect(meant.size).toBe(new Set(Object.values(en.actions)).size);
  });

  it("tries again for an action of a newer core", () => {
    expect(wayOf("something-new" as Action)).toEqual({ kind: "retry" });
  });

  it.each([
    ["contact-support", "/doctor"],
    ["update-app", "/doctor"],
    ["check-clock", "/doctor"],
    ["check-settings", "/settings"],
    ["sign-in-again", "/sign-in"],
  ] as const)("leads for %s to %s", async (action, to) => {
    const { router } = await renderPage(<ErrorPanel error={failed(action)} />);
    fireEvent.click(await screen.findByRole("button", { name: en.actions[action] }));
    await waitFor(() => expect(router.state.location.pathname).toBe(to));
  });

  it("tries again where it would lead to the page that is shown", async () => {
    const onRetry = vi.fn();
    await renderPage(<ErrorPanel error={failed("check-label")} onRetry={onRetry} />);
    fireEvent.click(await screen.findByRole("button", { name: "Try again" }));
    expect(onRetry).toHaveBeenCalledOnce();
    expect(screen.queryByRole("button", { name: "Scan the label again" })).toBeNull();
  });
});

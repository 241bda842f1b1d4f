import { describe, expect, it } from "vitest";
import type { Action } from "@/platform";
import { type Way, wayOf } from "./actions";

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
  "check-clock": { kind: "retry" },
  "check-settings": { kind: "go", to: "/settings" },
  "free-disk-space": { kind: "retry" },
  "update-app": { kind: "copy" },
  "update-firmware": { kind: "copy" },
  "ask-administrator": { kind: "copy" },
  "contact-support": { kind: "copy" },
  nothing: { kind: "retry" },
};

describe("the button of an error", () => {
  it.each(Object.entries(WAYS))("does what %s asks for", (action, way) => {
    expect(wayOf(action as Action)).toEqual(way);
  });

  it("tries again for an action of a newer core", () => {
    expect(wayOf("something-new" as Action)).toEqual({ kind: "retry" });
  });
});

import { describe, expect, it } from "vitest";
import type { AccountSeen, CommandError } from "@/platform";
import { byServer, serverAddress } from "./servers";
import { type SignInNews, type SignInState, signInStep } from "./useSignIn";

const account: AccountSeen = {
  name: "Ines@one.example.com",
  server: "https://one.example.com/",
  person: "Ines",
  role: "installer",
  signedInAt: "2026-11-30T10:00:00Z",
  signedOut: false,
  current: true,
  hasCa: false,
};
const told = (...news: SignInNews[]): SignInState => news.reduce(signInStep, { stage: "idle" });
const code: SignInNews = {
  event: "device-code",
  url: "https://login.example.com",
  code: "WDJB-MJHT",
  expiresAt: "2026-11-30T10:10:00Z",
};

describe("a sign-in", () => {
  it("waits, shows the code, and ends with the account", () => {
    expect(told({ event: "started" })).toEqual({ stage: "waiting" });
    expect(told({ event: "started" }, code)).toMatchObject({ stage: "waiting", deviceCode: { code: "WDJB-MJHT" } });
    expect(told({ event: "started" }, code, { event: "signed-in", account, renewable: true })).toEqual({
      stage: "done",
      account,
      renewable: true,
    });
  });

  it("puts the plain page into the QR code where the server has none with the code in it", () => {
    expect(told({ event: "started" }, code)).toMatchObject({ deviceCode: { qr: "https://login.example.com" } });
    const complete: SignInNews = { ...code, completeUrl: "https://login.example.com?user_code=WDJB-MJHT" };
    expect(told({ event: "started" }, complete)).toMatchObject({
      deviceCode: { qr: "https://login.example.com?user_code=WDJB-MJHT" },
    });
  });

  it("that was cancelled stays so, whatever still comes", () => {
    const cancelled = told(
      { event: "started" },
      { event: "cancelled" },
      { event: "signed-in", account, renewable: true },
    );
    expect(cancelled).toEqual({ stage: "idle" });
  });

  it("that failed says why until it is begun again", () => {
    const error: CommandError = { code: "invite-refused", action: "ask-administrator", hint: "" };
    expect(told({ event: "started" }, { event: "failed", error }, code)).toEqual({ stage: "failed", error });
    expect(told({ event: "started" }, { event: "failed", error }, { event: "started" })).toEqual({ stage: "waiting" });
  });
});

describe("servers", () => {
  it("stand side by side, the one in use first", () => {
    const two = { ...account, name: "Ines@two", server: "https://two.example.com/" };
    const other = { ...account, name: "Otto@one", current: false };
    const list = byServer([{ ...account, name: "Ines@three", server: "https://three/", current: false }, two, other]);
    expect(list.map(([server, those]) => [server, those.length])).toEqual([
      ["https://two.example.com/", 1],
      ["https://three/", 1],
      ["https://one.example.com/", 1],
    ]);
  });

  it("are https where nothing is said, and what is said is not changed", () => {
    expect(serverAddress(" provisioning.example.com ")).toBe("https://provisioning.example.com");
    expect(serverAddress("http://provisioning.example.com")).toBe("http://provisioning.example.com");
    expect(serverAddress("  ")).toBeUndefined();
  });
});

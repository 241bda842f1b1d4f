import { afterEach, expect, it, vi } from "vitest";
import { asCommandError } from "./platform";
import { webPlatform } from "./web";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function answering(status: number, chunks: string[], end = true) {
  const calls: [string, RequestInit][] = [];
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    calls.push([path, init]);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
        if (end) controller.close();
        else init.signal?.addEventListener("abort", () => controller.error(new DOMException("cut", "AbortError")));
      },
    });
    return new Response(body, { status });
  });
  return calls;
}

it("posts the arguments as JSON and gives the answer", async () => {
  const calls = answering(200, ['{"pairingId":"p"}']);
  expect(await webPlatform().call("pairing_start", { labelId: "l" })).toEqual({ pairingId: "p" });
  expect(calls[0]?.[0]).toBe("/api/call/pairing_start");
  expect(calls[0]?.[1].body).toBe('{"labelId":"l"}');
});

it("rejects with the core's own error", async () => {
  answering(409, ['{"code":"already-pairing","action":"wait","hint":"…"}']);
  const failed = await webPlatform().call("pairing_start", { labelId: "l" }).catch(asCommandError);
  expect(failed).toMatchObject({ code: "already-pairing", action: "wait" });
});

it("says so when something else than the program answers", async () => {
  answering(502, ["<html>Bad gateway</html>"]);
  const failed = await webPlatform().call("about", {}).catch(asCommandError);
  expect(failed).toMatchObject({ code: "host-answer-invalid", detail: "/api/call/about: HTTP 502" });
});

it("says so when nothing answers", async () => {
  vi.stubGlobal("fetch", async () => Promise.reject(new TypeError("Failed to fetch")));
  expect(await webPlatform().call("about", {}).catch(asCommandError)).toMatchObject({ code: "host-unreachable" });
});

it("does not wait for ever for a host that says nothing any more", async () => {
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() =>
    AbortSignal.abort(new DOMException("late", "TimeoutError")),
  );
  vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => Promise.reject(signal?.reason));
  const failed = await webPlatform().call("about", {}).catch(asCommandError);
  expect(failed).toMatchObject({ code: "host-unreachable", detail: "no answer in 180 s" });
});

it("reads events that are cut anywhere, and passes over heartbeats", async () => {
  answering(200, [
    'data: {"event":"searc',
    'hing","heard":1}\n',
    "\n: beat\n\ndata: ",
    '{"event":"reconnecting","attempt":1}\n\n',
  ]);
  const events: unknown[] = [];
  await webPlatform().stream(
    "pairing_watch",
    { pairingId: "p" },
    (event) => events.push(event),
    new AbortController().signal,
  );
  expect(events).toEqual([
    { event: "searching", heard: 1 },
    { event: "reconnecting", attempt: 1 },
  ]);
});

it("rejects a stream that the program ends with an error", async () => {
  answering(200, ['event: error\ndata: {"code":"pairing-forgotten","action":"nothing","hint":""}\n\n']);
  const stream = webPlatform().stream(
    "pairing_watch",
    { pairingId: "p" },
    () => undefined,
    new AbortController().signal,
  );
  expect(await stream.catch(asCommandError)).toMatchObject({ code: "pairing-forgotten" });
});

it("ends a stream quietly when the page has had enough of it", async () => {
  answering(200, ['data: {"event":"searching","heard":1}\n\n'], false);
  const stop = new AbortController();
  await webPlatform().stream("pairing_watch", { pairingId: "p" }, () => stop.abort(), stop.signal);
});

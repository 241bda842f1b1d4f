import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { platform } from "@/platform";
import { answerCalls, failure, renderPage } from "@/test-page";
import AddDevices from "./AddDevices";
import { bench } from "./bench";

/** A camera that is on and sees what the test shows it. */
const camera = vi.hoisted(() => ({ sees: (_: string) => {} }));
vi.mock("@/parts/scanner/useCamera", () => ({
  cameraIsAllowed: async () => false,
  useCamera: (onText: (text: string) => void) => {
    camera.sees = onText;
    return { state: "on", start: async () => {}, stop: () => {}, video: () => {} };
  },
}));

/** The texts that are no labels; a test may mend one. */
const bad = new Set<string>();

async function show() {
  let read = 0;
  const calls = answerCalls({
    label_read: ({ text }) => {
      if (bad.has(text)) throw failure("label-not-a-label", { action: "check-label" });
      if (text === "invite") throw failure("label-is-invite", { action: "check-label" });
      read += 1;
      return {
        labelId: `label ${read}`,
        name: text,
        link: "ble://",
        security: 2,
        hasPop: true,
        network: "wifi",
      };
    },
  });
  vi.spyOn(platform, "stream").mockImplementation(() => new Promise(() => {}));
  await renderPage(<AddDevices onDone={() => {}} />);
  await screen.findByRole("region", { name: "Add devices" });
  const texts = () =>
    calls.mock.calls.flatMap(([name, args]) =>
      name === "label_read" ? [(args as never as { text: string }).text] : [],
    );
  return { texts };
}
const paste = (text: string) => fireEvent.paste(document.body, { clipboardData: { files: [], getData: () => text } });
const field = () => screen.findByRole<HTMLTextAreaElement>("textbox", { name: "Texts of the labels" });
const names = () => bench.order().map((key) => bench.tile(key)?.name);
const add = (count: number) =>
  fireEvent.click(screen.getByRole("button", { name: new RegExp(`^Add ${count} device`) }));

beforeEach(() => {
  bench.clear("ready", "waiting", "running", "paired", "failed");
  bad.clear();
});

describe("many labels at once", () => {
  it("may be pasted anywhere on the page, one a line", async () => {
    const { texts } = await show();
    paste("pump-1\r\n\r\n  pump-2\npump-3\n");
    await waitFor(() => expect(names()).toEqual(["pump-1", "pump-2", "pump-3"]));
    expect(texts()).toEqual(["pump-1", "pump-2", "pump-3"]);
  });

  it("may be one label that is written over several lines", async () => {
    const { texts } = await show();
    paste('{\n  "name": "pump-1"\n}');
    await waitFor(() => expect(names()).toHaveLength(1));
    expect(texts()).toEqual(['{\n  "name": "pump-1"\n}']);
  });

  it("leave what is no label in the field, each line with what is wrong with it", async () => {
    await show();
    bad.add("pumpkin").add("squash");
    paste("pump-1\npumpkin\npump-2\ninvite\nsquash\npump-3");
    const left = await field();
    expect(left.value).toBe("pumpkin\ninvite\nsquash");
    expect(names()).toEqual(["pump-1", "pump-2", "pump-3"]);
    const alert = screen.getByRole("alert");
    expect(alert.textContent).toContain("Lines 1, 3: This is not a device label");
    expect(alert.textContent).toContain("Line 2:");
    expect(alert.textContent).toContain("label-not-a-label");
    expect(alert.textContent, "a label can hold a secret").not.toMatch(/pumpkin|squash|invite$/);
  });

  it("say of a line what is wrong with it until it is corrected", async () => {
    await show();
    bad.add("pumpkin");
    fireEvent.click(screen.getByRole("button", { name: "Text" }));
    fireEvent.change(await field(), { target: { value: "pump-1\npumpkin\npump-2" } });
    add(3);
    await screen.findByRole("alert");
    expect((await field()).value).toBe("pumpkin");
    expect(screen.getByText("pump-2 is on the bench (2 added)")).toBeTruthy();
    expect(document.activeElement).toBe(await field());
    fireEvent.change(await field(), { target: { value: "pump-3" } });
    expect(screen.queryByRole("alert")).toBeNull();
    add(1);
    await waitFor(() => expect(names()).toEqual(["pump-1", "pump-2", "pump-3"]));
    expect((await field()).value).toBe("");
  });
});

describe("the camera", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: 0 });
    return () => vi.useRealTimers();
  });
  /** Holds a code in front of the camera: it looks ten times a second. */
  const hold = async (text: string, seconds: number) => {
    for (let look = 0; look < seconds * 10; look += 1) {
      vi.setSystemTime(Date.now() + 100);
      await act(async () => camera.sees(text));
    }
  };

  it("tells a code that could not be read once, however long it is held, and again when it is shown again", async () => {
    const { texts } = await show();
    bad.add("pump-1");
    await hold("pump-1", 30);
    expect(texts()).toEqual(["pump-1"]);
    await screen.findByText("This is not a device label");
    vi.setSystemTime(Date.now() + 3_000);
    bad.clear();
    await hold("pump-1", 5);
    expect(texts()).toEqual(["pump-1", "pump-1"]);
    expect(names()).toEqual(["pump-1"]);
    expect(screen.queryByText("This is not a device label")).toBeNull();
  });

  it("does not have a label read again as long as its device is on the bench", async () => {
    const { texts } = await show();
    await hold("pump-1", 1);
    vi.setSystemTime(Date.now() + 60_000);
    await hold("pump-1", 1);
    expect(texts()).toEqual(["pump-1"]);
    expect(screen.getByText("pump-1 is on the bench already")).toBeTruthy();
  });

  it("puts a device that was taken away there again", async () => {
    await show();
    await hold("pump-1", 1);
    bench.remove(bench.order()[0] ?? "");
    vi.setSystemTime(Date.now() + 3_000);
    await hold("pump-1", 1);
    expect(names()).toEqual(["pump-1"]);
  });
});

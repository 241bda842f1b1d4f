import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import type { SettingSeen } from "@/platform";
import { answerCalls, failure, renderPage } from "@/test-page";
import { SettingRow } from "./SettingRow";

const api: SettingSeen = {
  key: "api",
  about: "",
  looks: "https://HOST[:PORT]",
  list: false,
  secret: false,
  value: "https://old.example.com",
  source: { from: "file", path: "/x/config.toml", line: 3 },
};

it("writes what was typed, and goes back to showing", async () => {
  const calls = answerCalls({ setting_set: ({ values }) => ({ ...api, value: values[0] }) });
  await renderPage(<SettingRow setting={api} />);
  fireEvent.click(await screen.findByRole("button", { name: "Change Server" }));
  fireEvent.change(screen.getByRole("textbox", { name: "Server" }), { target: { value: " https://new.example.com " } });
  fireEvent.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() => expect(screen.queryByRole("textbox")).toBeNull());
  expect(calls).toHaveBeenCalledWith("setting_set", { key: "api", values: ["https://new.example.com"] });
});

it("keeps what was typed when the core refuses it, and says why", async () => {
  answerCalls({
    setting_set: () => {
      throw failure("api-not-https", { detail: "api: it begins with http://" });
    },
  });
  await renderPage(<SettingRow setting={api} />);
  fireEvent.click(await screen.findByRole("button", { name: "Change Server" }));
  fireEvent.change(screen.getByRole("textbox", { name: "Server" }), { target: { value: "http://new.example.com" } });
  fireEvent.click(screen.getByRole("button", { name: "Save" }));
  await screen.findByText("The server’s address does not begin with https://");
  expect(screen.getByText("api: it begins with http://")).toBeTruthy();
  expect(screen.getByRole<HTMLInputElement>("textbox", { name: "Server" }).value).toBe("http://new.example.com");
});

it("writes nothing when the person thinks better of it", async () => {
  const calls = answerCalls({});
  await renderPage(<SettingRow setting={api} />);
  fireEvent.click(await screen.findByRole("button", { name: "Change Server" }));
  fireEvent.keyDown(screen.getByRole("textbox", { name: "Server" }), { key: "Escape" });
  await waitFor(() => expect(screen.queryByRole("textbox")).toBeNull());
  expect(calls).not.toHaveBeenCalled();
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "Change Server" }));
});

it("cannot be changed here while the environment stands above the file", async () => {
  await renderPage(<SettingRow setting={{ ...api, source: { from: "environment", name: "LOWTOUCH_API" } }} />);
  await screen.findByText("LOWTOUCH_API stands above the settings file. Change it there.");
  expect(screen.queryByRole("button", { name: "Change Server" })).toBeNull();
});

it("a list keeps its other lines when one is taken out", async () => {
  const files: SettingSeen = { ...api, key: "ca-files", list: true, value: ["/a.pem", "/b.pem", "/c.pem"] };
  const calls = answerCalls({ setting_set: () => files });
  await renderPage(<SettingRow setting={files} />);
  fireEvent.click(await screen.findByRole("button", { name: "Change Certificates" }));
  fireEvent.click(screen.getByRole("button", { name: "Remove file 2" }));
  fireEvent.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() =>
    expect(calls).toHaveBeenCalledWith("setting_set", { key: "ca-files", values: ["/a.pem", "/c.pem"] }),
  );
});

it("a secret is typed unseen, sent as it is, and not shown afterwards", async () => {
  const password: SettingSeen = { ...api, key: "proxy-password", secret: true, isSet: true, value: undefined };
  const calls = answerCalls({ setting_set: () => password });
  await renderPage(<SettingRow setting={password} />);
  await screen.findByText("Set");
  fireEvent.click(screen.getByRole("button", { name: "Change Proxy password" }));
  const input = screen.getByLabelText<HTMLInputElement>("Proxy password");
  expect([input.type, input.value]).toEqual(["password", ""]);
  fireEvent.change(input, { target: { value: " secret " } });
  fireEvent.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() =>
    expect(calls).toHaveBeenCalledWith("setting_set", { key: "proxy-password", values: [" secret "] }),
  );
  await waitFor(() => expect(screen.queryByLabelText("Proxy password")).toBeNull());
});

it("says in the page's language what a value looks like, also where it is wrong", async () => {
  const source = { from: "file", path: "/x/config.toml", line: 3 } as const;
  const looks = "list of files";
  const files: SettingSeen = {
    ...api,
    key: "ca-files",
    looks,
    list: true,
    value: ["/a.pem"],
    problem: {
      code: "settings-invalid",
      key: "ca-files",
      problem: { wrong: "missing", looks },
      what: "",
      mend: "",
      source,
    },
  };
  answerCalls({});
  await renderPage(<SettingRow setting={files} />, "de");
  await screen.findByText("Der Wert fehlt. Er sieht so aus: Liste von Dateien.");
  fireEvent.click(screen.getByRole("button", { name: "Zertifikate ändern" }));
  expect(screen.getByText("Sieht so aus: Liste von Dateien")).toBeTruthy();
});

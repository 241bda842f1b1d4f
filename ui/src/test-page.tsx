import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  RouterProvider,
} from "@tanstack/react-router";
import { configure, render } from "@testing-library/react";
import i18next from "i18next";
import type { ReactNode } from "react";
import { initReactI18next } from "react-i18next";
import { vi } from "vitest";
import { type Calls, type CommandError, CommandFailed, platform, type Standing } from "@/platform";
import { theme } from "@/theme/theme";

// For a machine that is busy with other things; nothing waits longer than it has to.
configure({ asyncUtilTimeout: 20_000 });
vi.setConfig({ testTimeout: 60_000 });

const files = import.meta.glob<Record<string, unknown>>("./locales/*/*.json", { eager: true, import: "default" });

/** The page's own words, all of them at once, so that a test reads what a person reads. */
async function words(language: string): Promise<void> {
  const resources: Record<string, Record<string, Record<string, unknown>>> = {};
  for (const [file, json] of Object.entries(files)) {
    const [, of = "", namespace = ""] = /(\w+)\/([\w-]+)\.json$/.exec(file) ?? [];
    resources[of] = { ...resources[of], [namespace]: json };
  }
  await i18next.use(initReactI18next).init({
    lng: language,
    resources: resources as never,
    defaultNS: "common",
    interpolation: { escapeValue: false },
  });
}

/** Shows something as it stands in the page: words, theme, queries, and a router that remembers where it was sent. */
export async function renderPage(shown: ReactNode, language = "en") {
  await words(language);
  const root = createRootRoute();
  const index = createRoute({ getParentRoute: () => root, path: "/", component: () => shown });
  const rest = createRoute({ getParentRoute: () => root, path: "$", component: () => null });
  const router = createRouter({
    routeTree: root.addChildren([index, rest]),
    history: createMemoryHistory({ initialEntries: ["/"] }),
  });
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  await router.load();
  const page = render(
    <QueryClientProvider client={queries}>
      <MantineProvider theme={theme} env="test">
        <RouterProvider router={router as never} />
      </MantineProvider>
    </QueryClientProvider>,
  );
  return { ...page, router };
}

export type Answers = {
  [N in keyof Calls]?: (args: Calls[N]["args"]) => Calls[N]["result"] | Promise<Calls[N]["result"]>;
};

/** Stands where the core would be, at the platform's one opening; a command without an answer fails loudly. */
export function answerCalls(answers: Answers) {
  vi.restoreAllMocks();
  return vi.spyOn(platform, "call").mockImplementation(async (name, args) => {
    const answer = answers[name];
    if (!answer) throw new Error(`nobody answers ${name}`);
    return answer(args as never) as never;
  });
}

/** How things stand where nobody is signed in and nothing runs. */
export const nobody: Standing = {
  byToken: false,
  online: true,
  demo: { state: "off", devices: 0 },
  running: 0,
  unfinished: 0,
  untold: 0,
};

/** A failure as the core says it. */
export function failure(code: CommandError["code"], more: Partial<CommandError> = {}): CommandFailed {
  return new CommandFailed({ code, action: "retry", hint: "", ...more });
}

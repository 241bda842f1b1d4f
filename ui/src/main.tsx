import "@/theme/styles";
import "@/screens/session/fragment";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { CommandFailed } from "@/platform";
import { router } from "@/router";
import { SessionGate } from "@/screens/session/SessionGate";
import { colorSchemeManager } from "@/shell/appearance";
import { StandingProvider } from "@/shell/standing";
import { theme } from "@/theme/theme";
import { startWords } from "@/words";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // The core retries what is worth it; the page only bridges a host that is being restarted.
      retry: (failures, error) =>
        failures < 2 && error instanceof CommandFailed && error.error.code === ("host-unreachable" as never),
      networkMode: "always",
      staleTime: 5_000,
    },
    mutations: { networkMode: "always" },
  },
});

void startWords().then(() => {
  const root = document.getElementById("root");
  if (!root) return;
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        {/* Neither <style> elements for variables nor for classes: vite.config.ts and src/theme have them as files. */}
        <MantineProvider
          theme={theme}
          defaultColorScheme="auto"
          colorSchemeManager={colorSchemeManager}
          withCssVariables={false}
          withGlobalClasses={false}
        >
          <SessionGate>
            <StandingProvider>
              <RouterProvider router={router} />
            </StandingProvider>
          </SessionGate>
        </MantineProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
});

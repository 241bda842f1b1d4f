import { isMantineColorScheme, type MantineColorSchemeManager } from "@mantine/core";
import { storage } from "@/platform";

/** Light, dark or as the system, kept beside the language. public/first-paint.js reads it before React does. */
export const colorSchemeManager: MantineColorSchemeManager = {
  get(fallback) {
    const chosen = storage.get("theme");
    return isMantineColorScheme(chosen) ? chosen : fallback;
  },
  set(scheme) {
    storage.set("theme", scheme);
  },
  subscribe: () => undefined,
  unsubscribe: () => undefined,
  clear: () => storage.set("theme", "auto"),
};

// i18next: the widest used and best kept; JSON per namespace, plural forms by Intl.PluralRules, works without a build step.
import i18next, { type BackendModule } from "i18next";
import { initReactI18next } from "react-i18next";
import { platform, storage } from "@/platform";

/** The languages of the page. All namespaces are complete in each (src/locales/locales.test.ts). */
export const languages = { en: "English", de: "Deutsch", es: "Español", zh: "简体中文" } as const;
export type Language = keyof typeof languages;

/** One file for a language and namespace, loaded when it is first needed. */
const files = import.meta.glob<{ default: Record<string, unknown> }>("../locales/*/*.json");

const backend: BackendModule = {
  type: "backend",
  init: () => undefined,
  read: (language, namespace, done) => {
    const load = files[`../locales/${language}/${namespace}.json`];
    if (!load) return done(null, {});
    load().then(
      (module) => done(null, module.default),
      (failed) => done(failed, false),
    );
  },
};

/** What was chosen, else the first of the browser's languages that we have, else English. */
export function preferredLanguage(chosen: string | null, offered: readonly string[]): Language {
  for (const tag of [chosen ?? "", ...offered]) {
    const language = tag.slice(0, 2).toLowerCase();
    if (language in languages) return language as Language;
  }
  return "en";
}

export const i18n = i18next;

export async function startWords(): Promise<void> {
  await i18n
    .use(backend)
    .use(initReactI18next)
    .init({
      lng: preferredLanguage(storage.get("language"), navigator.languages),
      fallbackLng: "en",
      supportedLngs: Object.keys(languages),
      ns: ["common", "shell"],
      defaultNS: "common",
      // React escapes.
      interpolation: { escapeValue: false },
      returnNull: false,
      // English stays away until a key is missing somewhere else.
      partialBundledLanguages: true,
    });
  follow();
  i18n.on("languageChanged", follow);
}

function follow(): void {
  document.documentElement.lang = i18n.language;
  platform.speak(i18n.language);
}

export async function chooseLanguage(language: Language): Promise<void> {
  storage.set("language", language);
  await i18n.changeLanguage(language);
}

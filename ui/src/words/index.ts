export * from "./formats";
export { chooseLanguage, i18n, type Language, languages, preferredLanguage, startWords } from "./i18n";
export { plainName } from "./plain";

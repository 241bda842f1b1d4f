// Before anything is drawn: the theme that was chosen, so that a dark page never flashes white. A file of its own, because
// the page's content security policy runs no inline script. The key is that of src/platform/storage.ts.
try {
  const chosen = localStorage.getItem("lowtouch.theme");
  const dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.mantineColorScheme = dark ? "dark" : "light";
} catch {
  document.documentElement.dataset.mantineColorScheme = "light";
}

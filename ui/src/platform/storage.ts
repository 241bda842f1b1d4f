/** What the page keeps for itself on this machine: language, theme, which side bars are shut. Never a secret. */
export const storage = {
  get(key: string): string | null {
    try {
      return localStorage.getItem(`lowtouch.${key}`);
    } catch {
      return null;
    }
  },
  set(key: string, value: string): void {
    try {
      localStorage.setItem(`lowtouch.${key}`, value);
    } catch {
      // A browser that keeps nothing: the choice holds until the page is closed.
    }
  },
};

/** Puts a text on the clipboard; false where the browser does not let us. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

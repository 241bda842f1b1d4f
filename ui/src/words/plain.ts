/** Characters that move or turn what follows them, or cannot be seen: whoever names a device can put them there. */
const DECEIVING =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffc]/g;

/** A name that somebody else chose, as it can be shown: what would deceive a reader is a visible mark. */
export function plainName(name: string): string {
  return name.replace(DECEIVING, "\ufffd");
}

import type { MantineColorsTuple } from "@mantine/core";

/**
 * One accent, greys with a slight hue of it, and three colours that mean something. Made in OKLCH (equal steps of
 * lightness, hues 259, 250, 152, 75, 26); texts on their grounds reach 4.5 : 1 (src/theme/contrast.test.ts holds that).
 */
export const colors: Record<"gray" | "dark" | "accent" | "green" | "amber" | "red", MantineColorsTuple> = {
  gray: ["#f8fafd", "#f0f4f7", "#e6eaef", "#d8dde3", "#c2c8cf", "#848b93", "#616a73", "#48515b", "#303942", "#1a222b"],
  dark: ["#e4e8ed", "#ccd1d7", "#abb2ba", "#7a818a", "#414951", "#2f363f", "#212830", "#161c23", "#0f141a", "#080c10"],
  accent: [
    "#eef4fe",
    "#d9e7fe",
    "#b8d3fc",
    "#91b9f7",
    "#699ff1",
    "#4384e8",
    "#286fdb",
    "#165dc4",
    "#104da6",
    "#0e3e86",
  ],
  green: ["#ecf9ef", "#d6f4dd", "#b4ebc1", "#8cdda2", "#67cd87", "#46b86e", "#2a9754", "#1c7d43", "#196537", "#164f2b"],
  amber: ["#fff7ea", "#ffeccc", "#ffdda1", "#ffcb74", "#ffbc50", "#f2ab35", "#d0901e", "#9d6800", "#7e5403", "#624000"],
  red: ["#fff2f0", "#ffe1dd", "#ffc6c0", "#ff9f95", "#fb756c", "#ef514b", "#d73434", "#c02528", "#a01e21", "#7e1a1a"],
};

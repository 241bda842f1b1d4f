import {
  IconClipboardList,
  IconHistory,
  IconLayoutGrid,
  IconQrcode,
  IconSettings,
  IconStethoscope,
  IconUserCircle,
} from "@tabler/icons-react";

/** The places of the navigation; the first three are at the bottom of a phone, the others behind "More". */
export const places = [
  { to: "/", name: "pair", icon: IconQrcode },
  { to: "/bench", name: "bench", icon: IconLayoutGrid },
  { to: "/journal", name: "journal", icon: IconHistory },
  { to: "/orders", name: "orders", icon: IconClipboardList },
  { to: "/accounts", name: "accounts", icon: IconUserCircle },
  { to: "/settings", name: "settings", icon: IconSettings },
  { to: "/doctor", name: "doctor", icon: IconStethoscope },
] as const;

export const ON_PHONES = 3;

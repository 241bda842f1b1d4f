import { useTranslation } from "react-i18next";
import { useStanding } from "./standing";

/** As whom this program works, for the way to the accounts; nothing before the core has said so. */
export function useWhose(): string | undefined {
  const { t } = useTranslation("shell");
  const { latest } = useStanding();
  return latest && (latest.account?.name ?? t(latest.byToken ? "byToken" : "signedOut"));
}

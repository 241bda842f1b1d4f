import { useTranslation } from "react-i18next";

/** Words a status or substatus of DPS; what DPS itself says where this page does not know it. */
export function useDpsWords(): (which: "status" | "substatus", said: string) => string {
  const { t } = useTranslation();
  // DPS is not of one mind about capitals.
  return (which, said) =>
    t(`common:dps.${which}.${said.charAt(0).toLowerCase()}${said.slice(1)}` as never, { defaultValue: said });
}

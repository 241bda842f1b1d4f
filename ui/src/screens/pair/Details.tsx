import { useTranslation } from "react-i18next";
import { CopyId } from "@/parts";
import { Disclosure } from "@/parts/Disclosure";
import { Facts } from "@/parts/Facts";
import { useDpsWords } from "@/parts/useDpsWords";
import { formatBytes } from "@/words";
import type { Fact } from "./progress";

const ORDER: readonly Fact["name"][] = [
  "registrationId",
  "deviceId",
  "dpsInstance",
  "idScope",
  "globalDeviceEndpoint",
  "attestation",
  "substatus",
  "model",
  "firmware",
  "link",
  "address",
  "ip",
  "security",
  "order",
  "handoffId",
  "digest",
  "roundTrips",
  "bytes",
];

/** What an administrator or support wants to know, shut until it is wanted. */
export function Details({ facts }: { facts: readonly Fact[] }) {
  const { t, i18n } = useTranslation(["pair", "codes"]);
  const dps = useDpsWords();
  const shown = [...facts].sort((a, b) => ORDER.indexOf(a.name) - ORDER.indexOf(b.name));
  return (
    <Disclosure title={t("common:details")}>
      <Facts
        rows={shown.map(({ name, value }) => [
          t(`pair:facts.${name}`),
          name === "security" || name === "roundTrips" ? (
            value
          ) : name === "bytes" ? (
            formatBytes(i18n.language, Number(value))
          ) : name === "attestation" ? (
            t(`codes:attestations.${value}` as never)
          ) : name === "substatus" ? (
            dps("substatus", value)
          ) : (
            <CopyId key={name} value={value} label={t(`pair:facts.${name}`)} />
          ),
        ])}
      />
    </Disclosure>
  );
}

import { UnstyledButton } from "@mantine/core";
import { useTranslation } from "react-i18next";
import { formatNumber } from "@/words";
import classes from "./Chips.module.css";

export interface Chip<V extends string> {
  value: V;
  label: string;
  /** How many there are; unknown while it is loading. */
  count?: number;
}

/** Filters with their counts: one is chosen, the others are one click away. */
export function Chips<V extends string>({
  label,
  chips,
  value,
  onChange,
}: {
  label: string;
  chips: Chip<V>[];
  value: V;
  onChange: (value: V) => void;
}) {
  const { i18n } = useTranslation();
  return (
    <fieldset className={classes.chips}>
      <legend className="unseen">{label}</legend>
      {chips.map((chip) => (
        <UnstyledButton
          key={chip.value}
          className={classes.chip}
          aria-pressed={chip.value === value}
          onClick={() => onChange(chip.value)}
        >
          <span>{chip.label}</span>
          {chip.count !== undefined && (
            <span className={`${classes.count} figures`}>{formatNumber(i18n.language, chip.count)}</span>
          )}
        </UnstyledButton>
      ))}
    </fieldset>
  );
}

import { Skeleton, Stack } from "@mantine/core";
import { useTranslation } from "react-i18next";

/** For what takes under a second. */
export function Loading({ rows = 4, height = 48 }: { rows?: number; height?: number }) {
  const { t } = useTranslation();
  return (
    <Stack gap="xs" role="status" aria-busy="true" aria-label={t("loading")}>
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: nothing but rows
        <Skeleton key={row} height={height} />
      ))}
    </Stack>
  );
}

import { Button, Stack, Text, TextInput, Title } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ErrorFoot, useErrorWords } from "@/parts/ErrorPanel";
import { asCommandError, type CommandError, platform } from "@/platform";
import classes from "./CodeScreen.module.css";
import { broughtCode } from "./fragment";

/** The one-time code that the gateway shows on its console; with its QR code it comes in the address. */
export default function CodeScreen({ onOpen }: { onOpen: () => void }) {
  const { t } = useTranslation("welcome");
  const [code, setCode] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<CommandError>();
  const field = useRef<HTMLInputElement>(null);

  const open = async (given: string) => {
    setBusy(true);
    setError(undefined);
    try {
      await platform.openSession?.(given);
      onOpen();
    } catch (thrown) {
      setError(asCommandError(thrown));
      setCode("");
      field.current?.focus();
    } finally {
      setBusy(false);
    }
  };

  // biome-ignore lint/correctness/useExhaustiveDependencies: once, with what the address brought
  useEffect(() => {
    const brought = broughtCode();
    if (brought) void open(brought);
  }, []);

  return (
    <main className={classes.screen}>
      <form
        className={classes.card}
        onSubmit={(event) => {
          event.preventDefault();
          void open(code.trim());
        }}
      >
        <Stack gap="md">
          <IconKey size={40} stroke={1.5} aria-hidden className={classes.icon} />
          <Title order={1}>{t("code.title")}</Title>
          <Text>{t("code.text")}</Text>
          <TextInput
            ref={field}
            size="lg"
            label={t("code.field")}
            value={code}
            autoFocus
            autoComplete="one-time-code"
            autoCapitalize="characters"
            spellCheck={false}
            error={error ? <Why error={error} /> : undefined}
            classNames={{ input: `mono ${classes.code}` }}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          <Button type="submit" size="lg" fullWidth loading={busy} disabled={code.trim() === ""}>
            {t("code.go")}
          </Button>
          {error && <ErrorFoot error={error} />}
        </Stack>
      </form>
    </main>
  );
}

function Why({ error }: { error: CommandError }) {
  const { title, text } = useErrorWords(error);
  return (
    <span role="alert">
      {title}. {text}
    </span>
  );
}

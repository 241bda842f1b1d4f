import { Button } from "@mantine/core";
import { IconFileZip } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { ErrorPanel } from "@/parts";
import { Disclosure } from "@/parts/Disclosure";
import { Mark } from "@/parts/Mark";
import { useFocusKept } from "@/parts/useFocusKept";
import { asCommandError, type LeftOut, platform } from "@/platform";
import { formatBytes } from "@/words";
import classes from "./Doctor.module.css";

/** Logs, report, settings and journal in one file for support. */
export function LogsBundle() {
  const { t, i18n } = useTranslation(["doctor", "codes"]);
  const save = useMutation({
    mutationFn: async () => {
      const bundle = await platform.call("logs_bundle", {});
      return { ...bundle, saved: await platform.saveFile(bundle.fileName, bundle.base64) };
    },
  });
  const { data } = save;
  const button = useFocusKept(save.status);
  const outWords = (out: LeftOut) =>
    t(`doctor:bundle.out.${out.what}`, {
      ...out,
      problem: out.what === "journal" ? t(`codes:errors.${out.code}.title` as never) : undefined,
    });
  return (
    <section className={classes.bundle} aria-label={t("doctor:bundle.title")}>
      <h2>{t("doctor:bundle.title")}</h2>
      <p>{t("doctor:bundle.text")}</p>
      <Button
        ref={button}
        variant="default"
        leftSection={<IconFileZip size={16} stroke={1.75} aria-hidden />}
        loading={save.isPending}
        onClick={() => save.mutate()}
      >
        {t("doctor:bundle.save")}
      </Button>
      <div role="status" className={classes.status}>
        {save.isPending && <span className="unseen">{t("doctor:bundle.making")}</span>}
        {data && (
          <Mark meaning={data.saved ? "good" : "none"}>
            {data.saved ? t("doctor:bundle.saved", { name: data.saved }) : t("doctor:bundle.notSaved")}
          </Mark>
        )}
      </div>
      {save.isError && <ErrorPanel error={asCommandError(save.error)} onRetry={() => save.mutate()} />}
      {data && (
        <Disclosure title={t("doctor:bundle.contents")}>
          <ul className={classes.files}>
            {data.contents.map((file) => (
              <li key={file.name}>
                <span className="mono">{file.name}</span>
                <span className={classes.note}>
                  {t(`doctor:bundle.files.${file.name.split(/[./]/, 1)}` as never, { defaultValue: file.what })}
                </span>
                <span className={`${classes.seconds} figures`}>{formatBytes(i18n.language, file.bytes)}</span>
              </li>
            ))}
          </ul>
          {data.leftOut.length > 0 && (
            <>
              <h3>{t("doctor:bundle.leftOut")}</h3>
              <ul className={classes.files}>
                {data.leftOut.map((out) => (
                  <li key={out.what === "log" ? out.name : out.what}>{outWords(out)}</li>
                ))}
              </ul>
            </>
          )}
        </Disclosure>
      )}
    </section>
  );
}

import { IconAlertTriangle, IconCheck } from "@tabler/icons-react";
import { useTranslation } from "react-i18next";
import { formatNumber, formatSeconds } from "@/words";
import type { Note, StepLine } from "./progress";
import classes from "./StepsLine.module.css";

/** The steps as a line that fills: what is done with its time, what runs with what it waits for, what comes. */
export function StepsLine({ steps, now, ended }: { steps: readonly StepLine[]; now: number; ended: boolean }) {
  const { t, i18n } = useTranslation("pair");
  return (
    <ol className={classes.line} aria-label={t("steps.title")}>
      {steps.map((line) => {
        // After the end nothing runs: what was begun and not done is where it stopped.
        const state = ended && line.state === "active" ? "failed" : line.state;
        return (
          <li
            key={line.step}
            className={classes.step}
            data-state={state}
            data-step={line.step}
            aria-current={state === "active" ? "step" : undefined}
          >
            <span className={classes.mark} aria-hidden>
              {state === "done" && <IconCheck size={14} stroke={3} />}
              {state === "failed" && <IconAlertTriangle size={14} stroke={2} />}
            </span>
            <span className={classes.words}>
              <span className={classes.name}>
                {t(`steps.${line.step}.${state === "done" ? "done" : state === "active" ? "now" : "next"}`)}
                <span className="unseen">: {t(`states.${state}`)}</span>
              </span>
              {state === "active" && (
                <span className={classes.wait}>
                  {line.note ? (
                    <NoteText note={line.note} now={now} />
                  ) : (
                    line.waitingFor && t(`waits.${line.waitingFor}`)
                  )}
                  {!saysHowLong(line.note) && line.startedAt !== undefined && now - line.startedAt > 10_000 && (
                    <> · {t("atMost", { time: formatSeconds(i18n.language, line.deadlineS ?? 0) })}</>
                  )}
                </span>
              )}
            </span>
            <span className={`${classes.time} figures`}>
              {state === "done" && line.seconds !== undefined && formatSeconds(i18n.language, line.seconds, true)}
              {state === "active" &&
                line.startedAt !== undefined &&
                formatSeconds(i18n.language, Math.max(0, now - line.startedAt) / 1000)}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

/** Whether the note itself says until when. */
function saysHowLong(note: Note | undefined): boolean {
  return note !== undefined && "until" in note && note.until !== undefined;
}

/** What a running step tells, in plain words, with what is left of a wait. */
export function NoteText({ note, now }: { note: Note; now: number }) {
  const { t, i18n } = useTranslation(["pair", "codes"]);
  const left = (until: number) => formatSeconds(i18n.language, Math.max(0, Math.ceil((until - now) / 1000)));
  switch (note.kind) {
    case "searching":
      return t("pair:note.searching", { count: note.heard });
    case "found":
      return note.rssi === undefined
        ? t("pair:note.found")
        : t("pair:note.foundAt", { signal: `${formatNumber(i18n.language, note.rssi)} dBm` });
    case "retrying": {
      const key = `codes:errors.${note.code}.title`;
      return t("pair:note.retrying", { why: i18n.exists(key) ? t(key as never) : note.code, time: left(note.until) });
    }
    case "offline":
      return t("pair:note.offline", { time: left(note.until) });
    case "circuit":
      return note.until === undefined
        ? t("pair:note.circuit")
        : t("pair:note.circuitUntil", { time: left(note.until) });
    case "slot":
      return t("pair:note.slot", { time: left(note.until) });
    case "network":
      return t(`codes:networkStates.${note.state}` as never);
    case "status": {
      const phase = t(`codes:phases.${note.phase}` as never);
      return note.attempts > 1 ? t("pair:note.attempts", { phase, count: note.attempts }) : phase;
    }
    case "reconnecting":
      return t("pair:note.reconnecting", { count: note.attempt });
  }
}

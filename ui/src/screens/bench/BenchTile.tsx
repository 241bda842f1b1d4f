import { UnstyledButton } from "@mantine/core";
import {
  IconAlertTriangle,
  IconCheck,
  IconCircleDashed,
  IconClock,
  IconLoader2,
  IconRefresh,
  IconX,
} from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { type MouseEvent, memo, useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";
import { useErrorWords } from "@/parts/ErrorPanel";
import type { CommandError } from "@/platform";
import { active, type Progress } from "@/screens/pair/progress";
import { formatSeconds, plainName } from "@/words";
import classes from "./BenchTile.module.css";
import { bench, type Tile, useTile } from "./bench";

const ICONS = {
  ready: IconCircleDashed,
  waiting: IconClock,
  running: IconLoader2,
  paired: IconCheck,
  failed: IconAlertTriangle,
};

/** One device: name, step, time, result. Drawn again only when its own device said something. */
export const BenchTile = memo(function BenchTile({
  id,
  onRefused,
}: {
  id: string;
  /** Tells more of a device whose pairing could not be begun, and so has no page. */
  onRefused: (id: string) => void;
}) {
  const { t } = useTranslation("bench");
  const navigate = useNavigate();
  const tile = useTile(id);
  if (!tile) return null;
  const Icon = ICONS[tile.state];
  const { pairingId, state } = tile;
  const refused = state === "failed" && !pairingId && tile.error;
  const open = () => {
    if (refused) onRefused(id);
    else if (pairingId) void navigate({ to: "/pair/$pairingId", params: { pairingId } });
  };
  return (
    <li className={classes.tile} data-state={state}>
      <UnstyledButton
        className={classes.open}
        disabled={!pairingId && !refused}
        aria-haspopup={refused ? "dialog" : undefined}
        onClick={open}
      >
        <span className={classes.top}>
          <span className={classes.mark} aria-hidden>
            <Icon size={18} stroke={2.25} />
          </span>
          <span className={classes.name}>{plainName(tile.name)}</span>
          <span className="unseen">{t(`states.${state}`)}</span>
        </span>
        <span className={classes.bottom}>
          <span className={classes.say}>
            <Say tile={tile} />
          </span>
          <span className={`${classes.time} figures`}>
            <Time tile={tile} />
          </span>
        </span>
        {refused && <Todo error={refused} />}
        <span className={classes.track} aria-hidden>
          <span className={classes.bar} style={{ transform: `scaleX(${share(tile)})` }} />
        </span>
      </UnstyledButton>
      {state !== "running" && (
        <UnstyledButton
          className={classes.remove}
          aria-label={t("tile.remove", { name: plainName(tile.name) })}
          onClick={(event) => {
            stayNear(event);
            bench.remove(id);
          }}
        >
          <IconX size={18} aria-hidden />
        </UnstyledButton>
      )}
      {state === "failed" && (
        <UnstyledButton
          className={classes.again}
          aria-label={t("tile.again", { name: plainName(tile.name) })}
          onClick={() => bench.again(id)}
        >
          <IconRefresh size={18} aria-hidden />
        </UnstyledButton>
      )}
    </li>
  );
});

/** A tile that goes takes the keyboard's place with it: the next one's button for the same has it then. */
function stayNear({ currentTarget }: MouseEvent<HTMLElement>): void {
  const tile = currentTarget.closest("li");
  const beside = (tile?.nextElementSibling ?? tile?.previousElementSibling)?.querySelector<HTMLElement>(
    `.${classes.remove}`,
  );
  (beside ?? document.getElementById("content"))?.focus();
}

/** What to do about it. */
function Todo({ error }: { error: CommandError }) {
  return <span className={classes.todo}>{useErrorWords(error).text}</span>;
}

/** How much is done: 0 to 1. */
function share({ state, progress }: Tile): number {
  if (state === "paired") return 1;
  if (!progress) return 0;
  return progress.steps.filter((line) => line.state === "done").length / progress.steps.length;
}

function Say({ tile }: { tile: Tile }) {
  const { t, i18n } = useTranslation(["bench", "pair", "codes"]);
  if (tile.state === "paired") return tile.hub?.split(".")[0] ?? t("bench:states.paired");
  if (tile.state === "failed" && tile.error) {
    const key = `codes:errors.${tile.error.code}.title`;
    return i18n.exists(key) ? t(key as never) : tile.error.code;
  }
  if (tile.state !== "running" || !tile.progress) return t(`bench:states.${tile.state}`);
  const step = active(tile.progress);
  if (step) return t(`pair:steps.${step.step}.now`);
  // Between two steps: the one that is done.
  const done = tile.progress.steps.filter((line) => line.state === "done").at(-1);
  return done ? t(`pair:steps.${done.step}.done`) : t("bench:states.running");
}

function Time({ tile }: { tile: Tile }) {
  const { i18n } = useTranslation();
  const { progress } = tile;
  if (!progress) return null;
  if (progress.end?.kind === "finished") return formatSeconds(i18n.language, progress.end.paired.seconds, true);
  if (progress.end) return null;
  return <Running progress={progress} />;
}

/** Only this text ticks, not the tile around it. */
function Running({ progress }: { progress: Progress }) {
  const { i18n } = useTranslation();
  const seconds = useSyncExternalStore(everySecond, () => Math.floor((Date.now() - progress.startedAt) / 1000));
  return formatSeconds(i18n.language, Math.max(0, seconds));
}

const ticking = new Set<() => void>();
let ticker: ReturnType<typeof setInterval> | undefined;
function everySecond(listener: () => void): () => void {
  ticking.add(listener);
  ticker ??= setInterval(() => {
    for (const each of ticking) each();
  }, 1_000);
  return () => {
    ticking.delete(listener);
    if (ticking.size === 0) {
      clearInterval(ticker);
      ticker = undefined;
    }
  };
}

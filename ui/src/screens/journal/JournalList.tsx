import { Button, Skeleton } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useLayoutEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { When } from "@/parts";
import { Mark } from "@/parts/Mark";
import type { JournalEntry } from "@/platform";
import classes from "./Journal.module.css";
import { type Fact, hubOf, isUntold, stateMeaning, threeFacts } from "./meaning";

const FACT_MEANING = { yes: "good", no: "none", bad: "bad" } as const;

export interface More {
  wanted: boolean;
  busy: boolean;
  failed: boolean;
  load: () => void;
}

/** The pairings, newest first. Only the rows that can be seen are on the page, however many there are. */
export function JournalList({ entries, total, more }: { entries: JournalEntry[]; total: number; more: More }) {
  const { t } = useTranslation("journal");
  const list = useRef<HTMLUListElement>(null);
  const [margin, setMargin] = useState(0);
  const going = useRef<number>(undefined);
  const rows = useVirtualizer({
    count: entries.length + (more.wanted ? 1 : 0),
    getScrollElement: () => document.getElementById("content"),
    estimateSize: () => (matchMedia("(min-width: 62em)").matches ? 56 : 136),
    overscan: 12,
    scrollMargin: margin,
    getItemKey: (index) => entries[index]?.handoffId ?? "more",
  });
  const seen = rows.getVirtualItems();

  // Where the list begins within what scrolls: known once it is laid out.
  useLayoutEffect(() => {
    const scroller = document.getElementById("content");
    if (list.current && scroller) {
      setMargin(list.current.getBoundingClientRect().top - scroller.getBoundingClientRect().top + scroller.scrollTop);
    }
  }, []);

  const atEnd = (seen.at(-1)?.index ?? 0) >= entries.length;
  const { wanted, busy, failed, load } = more;
  useEffect(() => {
    if (atEnd && wanted && !busy && !failed) load();
  }, [atEnd, wanted, busy, failed, load]);

  /** Up and down go from row to row, as in any list; Home and End to the first and last one that is loaded. */
  function onKeyDown(event: KeyboardEvent) {
    const row = (event.target as HTMLElement).closest<HTMLElement>("[data-row]");
    if (!row) return;
    const at = Number(row.dataset.row);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    if (to === undefined || to < 0 || to >= entries.length) return;
    event.preventDefault();
    going.current = to;
    rows.scrollToIndex(to);
    go();
  }

  /** The row may come only after the list has scrolled there. */
  function go() {
    const link = list.current?.querySelector<HTMLAnchorElement>(`[data-row="${going.current}"] a[data-entry]`);
    if (!link) return;
    going.current = undefined;
    link.focus({ preventScroll: true });
  }
  useEffect(go);

  return (
    <div className={classes.table}>
      <div className={`${classes.row} ${classes.head}`} aria-hidden>
        <span>{t("columns.state")}</span>
        <span>{t("columns.device")}</span>
        <span>{t("columns.hub")}</span>
        <span>{t("columns.facts")}</span>
        <span className={classes.time}>{t("columns.updated")}</span>
      </div>
      <ul
        ref={list}
        className={classes.rows}
        style={{ height: rows.getTotalSize() }}
        aria-label={t("title")}
        onKeyDown={onKeyDown}
      >
        {seen.map((item) => {
          const entry = entries[item.index];
          return (
            <li
              key={item.key}
              ref={rows.measureElement}
              data-index={item.index}
              data-row={item.index}
              className={classes.row}
              style={{ transform: `translateY(${item.start - margin}px)` }}
              aria-setsize={total}
              aria-posinset={Math.min(item.index + 1, total)}
            >
              {entry ? (
                <EntryCells entry={entry} />
              ) : failed ? (
                <Button className={classes.more} variant="default" onClick={load}>
                  {t("moreFailed")}
                </Button>
              ) : (
                <span className={classes.more}>
                  <span className="unseen">{t("more")}</span>
                  <Skeleton height={20} />
                </span>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function EntryCells({ entry }: { entry: JournalEntry }) {
  const { t } = useTranslation(["journal", "codes"]);
  const facts = threeFacts(entry);
  const hub = hubOf(entry);
  const error = entry.error?.code;
  return (
    <>
      <span className={classes.state}>
        <Mark meaning={stateMeaning(entry.state)}>
          {t(isUntold(entry) ? "journal:states.untold" : `journal:states.${entry.state}`)}
        </Mark>
      </span>
      <span className={classes.device}>
        <Link
          className={classes.link}
          data-entry
          to="/journal/$handoffId"
          params={{ handoffId: entry.handoffId }}
          preload={false}
        >
          <span className="mono">{entry.registrationId ?? entry.name}</span>
        </Link>
        {entry.registrationId && entry.registrationId !== entry.name && (
          <span className={`${classes.small} mono`}>{entry.name}</span>
        )}
      </span>
      <span className={classes.hub}>
        {hub ? (
          <span className="mono">{hub}</span>
        ) : error && entry.state !== "assigned" ? (
          <span>{t(`codes:errors.${error}.title`, { defaultValue: error })}</span>
        ) : (
          <span className={classes.small}>{t("journal:noHub")}</span>
        )}
        {isUntold(entry) && <span className={classes.small}>{t("journal:untoldNote")}</span>}
      </span>
      <span className={classes.facts}>
        <FactMark who={t("journal:facts.given")} fact={facts.given} />
        <FactMark who={t("journal:facts.acknowledged")} fact={facts.acknowledged} />
        <FactMark who={t("journal:facts.dps")} fact={facts.dps} />
      </span>
      <span className={`${classes.time} figures`}>
        <When at={entry.updatedAt} />
      </span>
    </>
  );
}

function FactMark({ who, fact }: { who: string; fact: Fact }) {
  const { t } = useTranslation("journal");
  return (
    <span className={classes.fact}>
      <Mark meaning={FACT_MEANING[fact]} quiet size={16}>
        {t(`facts.${fact}`, { who })}
      </Mark>
      <span className={classes.who} aria-hidden>
        {who}
      </span>
    </span>
  );
}

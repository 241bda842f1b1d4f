import { Alert, Button, TextInput } from "@mantine/core";
import "@mantine/core/styles/Alert.layer.css";
import { useDebouncedValue } from "@mantine/hooks";
import { IconHistory, IconSearch, IconSearchOff, IconSend } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Empty, Failure, Loading, Page } from "@/parts";
import { Chips } from "@/parts/Chips";
import { answered, useFocusKept } from "@/parts/useFocusKept";
import { type JournalQuery, platform, type Stands } from "@/platform";
import { useStanding } from "@/shell/standing";
import classes from "./Journal.module.css";
import { JournalList } from "./JournalList";

type Filter = "all" | Stands;

const PAGE = 100;
const FILTERS: Filter[] = ["all", "open", "assigned", "failed", "untold"];

/** Without what is not asked for: the core takes no empty fields. */
function query(filter: Filter, text: string, before?: string): JournalQuery {
  return {
    limit: PAGE,
    ...(filter === "all" ? {} : { state: filter }),
    ...(text ? { text } : {}),
    ...(before ? { before } : {}),
  };
}

export function JournalScreen() {
  const { t } = useTranslation("journal");
  const navigate = useNavigate();
  const { latest } = useStanding();
  const [filter, setFilter] = useState<Filter>("all");
  const [typed, setTyped] = useState("");
  const [text] = useDebouncedValue(typed.trim(), 200);

  const pages = useInfiniteQuery({
    queryKey: ["journal", "pages", filter, text],
    queryFn: ({ pageParam, signal }) => platform.call("journal", query(filter, text, pageParam), signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
  });
  useFocusKept(answered(pages));

  const entries = pages.data?.pages.flatMap((page) => page.entries) ?? [];
  const [first] = pages.data?.pages ?? [];
  const total = first?.total ?? 0;
  const untold = latest?.untold ?? 0;
  const filtered = filter !== "all" || text !== "";

  return (
    <Page title={t("title")} actions={untold > 0 ? <Tell untold={untold} /> : undefined}>
      {latest?.demo.state === "on" && (
        <Alert variant="light" color="amber" p="sm">
          {t("demoNote")}
        </Alert>
      )}
      <div className={classes.filters}>
        <TextInput
          className={classes.search}
          type="search"
          aria-label={t("search")}
          placeholder={t("searchHint")}
          leftSection={<IconSearch size={16} stroke={1.75} aria-hidden />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <Chips
          label={t("filter")}
          value={filter}
          onChange={setFilter}
          chips={FILTERS.filter((value) => value !== "untold" || filter === value || first?.counts.untold).map(
            (value) => ({
              value,
              label: t(`filters.${value}`),
              count: first?.counts[value],
            }),
          )}
        />
      </div>
      <p className="unseen" role="status">
        {pages.isSuccess ? t("shown", { count: total }) : ""}
      </p>
      {pages.isPending ? (
        <Loading rows={8} height={56} />
      ) : pages.isError && entries.length === 0 ? (
        <Failure error={pages.error} onRetry={() => void pages.refetch()} />
      ) : entries.length === 0 && !filtered ? (
        <Empty
          icon={IconHistory}
          title={t("emptyTitle")}
          action={<Button onClick={() => void navigate({ to: "/" })}>{t("emptyAction")}</Button>}
        >
          {t("emptyText")}
        </Empty>
      ) : entries.length === 0 ? (
        <Empty
          icon={IconSearchOff}
          title={t("noMatchTitle")}
          action={
            <Button
              variant="default"
              onClick={() => {
                setFilter("all");
                setTyped("");
              }}
            >
              {t("clear")}
            </Button>
          }
        >
          {t("noMatchText")}
        </Empty>
      ) : (
        <JournalList
          entries={entries}
          total={total}
          more={{
            wanted: pages.hasNextPage,
            failed: pages.isFetchNextPageError,
            busy: pages.isFetchingNextPage,
            load: () => void pages.fetchNextPage(),
          }}
        />
      )}
    </Page>
  );
}

/** Sends what the server has not been told yet. */
function Tell({ untold }: { untold: number }) {
  const { t } = useTranslation("journal");
  const queries = useQueryClient();
  const tell = useMutation({
    mutationFn: () => platform.call("journal_tell", {}),
    onSettled: () => queries.invalidateQueries({ queryKey: ["journal"] }),
  });
  return (
    <div className={classes.tell}>
      <Button
        variant="default"
        leftSection={<IconSend size={16} stroke={1.75} aria-hidden />}
        loading={tell.isPending}
        onClick={() => tell.mutate()}
      >
        {t("tell", { count: untold })}
      </Button>
      <div role="status" className={classes.told}>
        {tell.isSuccess && (
          <>
            {t("told", { count: tell.data.told.length })}{" "}
            {tell.data.refused.length > 0 && t("notTold", { count: tell.data.refused.length })}
          </>
        )}
      </div>
      {tell.isError && <Failure error={tell.error} onRetry={() => tell.mutate()} />}
    </div>
  );
}

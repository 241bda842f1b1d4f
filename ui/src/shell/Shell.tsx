import { ActionIcon, UnstyledButton } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconCommand, IconDots, IconLogout } from "@tabler/icons-react";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { platform } from "@/platform";
import { formatNumber } from "@/words";
import { Banners } from "./Banners";
import { leave } from "./leave";
import { ON_PHONES, places } from "./places";
import classes from "./Shell.module.css";
import { useStanding } from "./standing";
import { useWhose } from "./whose";

const Palette = lazy(() => import("./Palette"));

/** What stands around every page: navigation, banners, the command palette. */
export function Shell() {
  const { t, i18n } = useTranslation("shell");
  const { latest } = useStanding();
  const whose = useWhose();
  const navigate = useNavigate();
  const [paletteAsked, setPaletteAsked] = useState(0);
  const inPalette = useRef(false);
  const openPalette = () => setPaletteAsked((times) => times + 1);
  useHotkeys([["mod+K", openPalette]], []);

  useEffect(
    () =>
      platform.onHandedOver((handed) => {
        if (handed.kind === "go") void navigate({ to: handed.to });
        // The invite goes through memory, not through the address: it is a secret.
        else void navigate({ to: "/sign-in", state: { invite: handed.link } as never });
      }),
    [navigate],
  );

  // A new page begins at its top, for eyes and for the keyboard.
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname ?? state.location.pathname });
  const shown = useRef(path);
  const content = useRef<HTMLElement>(null);
  useEffect(() => {
    if (shown.current === path) return;
    shown.current = path;
    content.current?.scrollTo(0, 0);
    // A page that comes late must not take the keys from whoever types in the palette already.
    if (inPalette.current) return;
    if (document.activeElement === document.body || !content.current?.contains(document.activeElement)) {
      content.current?.focus({ preventScroll: true });
    }
  }, [path]);

  const unfinished = latest?.unfinished ?? 0;
  return (
    <div className={classes.shell}>
      <a className={classes.skip} href="#content">
        {t("skip")}
      </a>
      <nav className={classes.nav} aria-label={t("navigation")}>
        <div className={classes.brand}>
          <img src="/icon.svg" alt="" width={24} height={24} />
          Lowtouch
        </div>
        <UnstyledButton className={classes.search} onClick={openPalette} aria-keyshortcuts="Control+K Meta+K">
          <IconCommand size={16} stroke={1.75} aria-hidden />
          <span>{t("palette.open")}</span>
          <kbd>Ctrl K</kbd>
        </UnstyledButton>
        {places.map(({ to, name, icon: Icon }, index) => (
          <Link
            key={to}
            to={to}
            className={classes.place}
            data-phone={index < ON_PHONES || undefined}
            data-active={(to === "/" ? path === "/" || path.startsWith("/pair/") : path.startsWith(to)) || undefined}
          >
            <Icon size={22} stroke={1.75} aria-hidden />
            <span>{t(`nav.${name}`)}</span>
            {name === "journal" && unfinished > 0 && (
              <span className={classes.count} title={t("unfinished", { count: unfinished })}>
                <span aria-hidden>{formatNumber(i18n.language, unfinished)}</span>
                <span className="unseen">{t("unfinished", { count: unfinished })}</span>
              </span>
            )}
          </Link>
        ))}
        <More />
        <div className={classes.foot}>
          <Link to="/accounts" className={classes.account}>
            {whose}
          </Link>
          {platform.endSession && (
            <ActionIcon size="lg" aria-label={t("leave")} title={t("leave")} onClick={leave}>
              <IconLogout size={20} stroke={1.75} aria-hidden />
            </ActionIcon>
          )}
        </div>
      </nav>
      <div className={classes.page}>
        <Banners />
        <main ref={content} id="content" tabIndex={-1} className={classes.content}>
          <Outlet />
        </main>
      </div>
      {paletteAsked > 0 && (
        <Suspense>
          <Palette
            asked={paletteAsked}
            onOpened={(opened) => {
              inPalette.current = opened;
            }}
          />
        </Suspense>
      )}
    </div>
  );
}

/** On a phone: the way to the places that do not fit at the bottom. */
function More() {
  const { t } = useTranslation("shell");
  const path = useRouterState({ select: (state) => state.location.pathname });
  const inside = [...places.slice(ON_PHONES).map(({ to }) => to), "/more"].some((to) => path.startsWith(to));
  return (
    <Link to="/more" className={`${classes.place} ${classes.more}`} data-phone data-active={inside || undefined}>
      <IconDots size={22} stroke={1.75} aria-hidden />
      <span>{t("nav.more")}</span>
    </Link>
  );
}

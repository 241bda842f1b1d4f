import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { PageLoading } from "@/parts/Page";
import { Broken, NotFound } from "@/shell/faults";
import { Shell } from "@/shell/Shell";
import { i18n } from "@/words";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const at = <P extends string>(path: P) => ({ getParentRoute: () => root, path });

/** A screen's script and the words of every screen that speaks of errors and steps: neither waits for the other. */
async function load<M>(screen: Promise<M>, ...namespaces: string[]): Promise<M> {
  const [module] = await Promise.all([screen, i18n.loadNamespaces(namespaces)]);
  return module;
}

const journalEntry = createRoute({
  ...at("/journal/$handoffId"),
  component: lazyRouteComponent(async () => {
    const { JournalEntryScreen } = await import("@/screens/journal/JournalEntryScreen");
    return {
      default: () => <JournalEntryScreen handoffId={journalEntry.useParams().handoffId} />,
    };
  }),
});

const pairing = createRoute({
  ...at("/pair/$pairingId"),
  component: lazyRouteComponent(async () => {
    const { PairingScreen } = await load(import("@/screens/pair/PairingScreen"), "pair", "codes");
    return {
      default: function PairingRoute() {
        const { pairingId } = pairing.useParams();
        return <PairingScreen key={pairingId} pairingId={pairingId} />;
      },
    };
  }),
});

const routes = root.addChildren([
  createRoute({
    ...at("/"),
    component: lazyRouteComponent(
      () => load(import("@/screens/pair/PairScreen"), "pair", "scanner", "welcome"),
      "PairScreen",
    ),
  }),
  createRoute({ ...at("/more"), component: lazyRouteComponent(() => import("@/shell/MoreScreen"), "MoreScreen") }),
  createRoute({ ...at("/pair"), beforeLoad: () => redirect({ to: "/", throw: true }) }),
  pairing,
  createRoute({
    ...at("/bench"),
    component: lazyRouteComponent(
      () => load(import("@/screens/bench/BenchScreen"), "bench", "pair", "codes", "scanner"),
      "BenchScreen",
    ),
  }),
  createRoute({
    ...at("/sign-in"),
    component: lazyRouteComponent(() => import("@/screens/accounts/SignInScreen"), "SignInScreen"),
  }),
  createRoute({
    ...at("/journal"),
    component: lazyRouteComponent(() => import("@/screens/journal/JournalScreen"), "JournalScreen"),
  }),
  journalEntry,
  createRoute({
    ...at("/orders"),
    component: lazyRouteComponent(() => import("@/screens/orders/OrdersScreen"), "OrdersScreen"),
  }),
  createRoute({
    ...at("/accounts"),
    component: lazyRouteComponent(() => import("@/screens/accounts/AccountsScreen"), "AccountsScreen"),
  }),
  createRoute({
    ...at("/settings"),
    component: lazyRouteComponent(() => import("@/screens/settings/SettingsScreen"), "SettingsScreen"),
  }),
  createRoute({
    ...at("/doctor"),
    component: lazyRouteComponent(() => import("@/screens/doctor/DoctorScreen"), "DoctorScreen"),
  }),
]);

export const router = createRouter({
  routeTree: routes,
  defaultErrorComponent: Broken,
  defaultPendingComponent: PageLoading,
  defaultPendingMs: 150,
  defaultPreload: "intent",
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

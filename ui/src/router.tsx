import { createRootRoute, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { Loading } from "@/parts";
import { Broken, NotFound } from "@/shell/faults";
import { Shell } from "@/shell/Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const at = <P extends string>(path: P) => ({ getParentRoute: () => root, path });

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
    const { PairingScreen } = await import("@/screens/pair/PairingScreen");
    return {
      default: function PairingRoute() {
        const { pairingId } = pairing.useParams();
        return <PairingScreen key={pairingId} pairingId={pairingId} />;
      },
    };
  }),
});

const routes = root.addChildren([
  createRoute({ ...at("/"), component: lazyRouteComponent(() => import("@/screens/pair/PairScreen"), "PairScreen") }),
  createRoute({ ...at("/pair"), beforeLoad: () => redirect({ to: "/", throw: true }) }),
  pairing,
  createRoute({
    ...at("/bench"),
    component: lazyRouteComponent(() => import("@/screens/bench/BenchScreen"), "BenchScreen"),
  }),
  createRoute({
    ...at("/sign-in"),
    component: lazyRouteComponent(() => import("@/screens/welcome/SignInScreen"), "SignInScreen"),
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
  defaultPendingComponent: () => <Loading />,
  defaultPendingMs: 150,
  defaultPreload: "intent",
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

import type { AccountSeen } from "@/platform";

/** Accounts by server: the server of the account in use first, then in the order in which they came. */
export function byServer(accounts: AccountSeen[]): [server: string, accounts: AccountSeen[]][] {
  const servers = new Map<string, AccountSeen[]>();
  for (const account of accounts) servers.set(account.server, [...(servers.get(account.server) ?? []), account]);
  const first = (those: AccountSeen[]) => (those.some((account) => account.current) ? 0 : 1);
  return [...servers].sort(([, a], [, b]) => first(a) - first(b));
}

/** What people type, as an address: https is meant where nothing is said. Undefined: nothing was typed. */
export function serverAddress(typed: string): string | undefined {
  const text = typed.trim();
  if (!text) return undefined;
  return text.includes("://") ? text : `https://${text}`;
}

import type { WorkOrder } from "@/platform";

/** How an order stands at this moment: open in principle and open now are two things. */
export function orderStands(order: Pick<WorkOrder, "state" | "openNow">): "open" | "later" | "closed" | "cancelled" {
  if (order.state !== "open") return order.state;
  return order.openNow ? "open" : "later";
}

/** Whether what was downloaded can still be used. */
export function downloadStands(until: string | undefined, now: Date): "none" | "usable" | "ended" {
  if (!until) return "none";
  return Date.parse(until) > now.getTime() ? "usable" : "ended";
}

import { act, renderHook, waitFor } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { platform } from "@/platform";
import { answerCalls, failure } from "@/test-page";
import { usePairing } from "./watch";

it("a pairing that is not known is said not to be, also when the next frame comes late", async () => {
  const frames: FrameRequestCallback[] = [];
  answerCalls({ pairings: () => [] });
  vi.spyOn(window, "requestAnimationFrame").mockImplementation((run) => frames.push(run));
  const stream = vi.spyOn(platform, "stream").mockRejectedValue(failure("pairing-forgotten"));
  const { result } = renderHook(() => usePairing("00000000-0000-4000-8000-000000000000"));
  await waitFor(() => expect(stream).toHaveBeenCalled());
  await waitFor(() => expect(result.current.error?.code).toBe("pairing-forgotten"));
  expect(frames).not.toHaveLength(0);
  act(() => {
    for (const run of frames) run(0);
  });
  expect(result.current.progress).toBeDefined();
  expect(result.current.error?.code).toBe("pairing-forgotten");
});

import { useCallback, useEffect, useRef, useState } from "react";
import { makeDecoder } from "./decoder";

export type CameraState =
  | "off"
  | "starting"
  | "on"
  /** The person or the system said no. */
  | "denied"
  /** There is none, or the page may not know of any (it was not loaded over https). */
  | "none"
  /** Another program has it. */
  | "busy";

/** Between two looks: a code is seen within a tenth of a second, and the processor has time for the rest. */
const LOOK_EVERY_MS = 90;

/** The camera behind a viewfinder, `video`. `onText` gets every text that is seen, again and again while it is in sight. */
export function useCamera(onText: (text: string) => void) {
  const [state, setState] = useState<CameraState>("off");
  const [torch, setTorch] = useState<boolean | undefined>();
  // The element comes and goes while the page still loads words, and the camera may be open before it is there.
  const [element, video] = useState<HTMLVideoElement | null>(null);
  const [seen, setSeen] = useState<MediaStream | undefined>();
  const stream = useRef<MediaStream | undefined>(undefined);
  const wanted = useRef(0);
  const told = useRef(onText);
  told.current = onText;

  const stop = useCallback(() => {
    wanted.current += 1;
    for (const track of stream.current?.getTracks() ?? []) track.stop();
    stream.current = undefined;
    setSeen(undefined);
    setState("off");
    setTorch(undefined);
  }, []);

  const start = useCallback(async () => {
    wanted.current += 1;
    const mine = wanted.current;
    if (!navigator.mediaDevices?.getUserMedia) {
      setState("none");
      return;
    }
    setState("starting");
    let opened: MediaStream;
    try {
      opened = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
    } catch (thrown) {
      if (mine === wanted.current) setState(whyNot(thrown));
      return;
    }
    if (mine !== wanted.current) {
      for (const track of opened.getTracks()) track.stop();
      return;
    }
    stream.current = opened;
    setSeen(opened);
    const track = opened.getVideoTracks()[0];
    const able = track?.getCapabilities?.() as { torch?: boolean } | undefined;
    setTorch(able?.torch ? false : undefined);
    // A camera that is unplugged.
    track?.addEventListener("ended", () => mine === wanted.current && setState("none"));
    setState("on");
  }, []);

  useEffect(() => {
    if (!element || !seen) return;
    let gone = false;
    element.srcObject = seen;
    void element.play().catch(() => undefined);
    void (async () => {
      const look = await makeDecoder();
      while (!gone) {
        const text = element.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA ? await look(element) : undefined;
        if (gone) return;
        if (text) told.current(text);
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    })();
    return () => {
      gone = true;
    };
  }, [element, seen]);

  const turnTorch = useCallback(async (on: boolean) => {
    const track = stream.current?.getVideoTracks()[0];
    try {
      await track?.applyConstraints({ advanced: [{ torch: on } as MediaTrackConstraintSet] });
      setTorch(on);
    } catch {
      setTorch(undefined);
    }
  }, []);

  useEffect(() => stop, [stop]);

  return { video, state, start, stop, torch, turnTorch };
}

function whyNot(thrown: unknown): CameraState {
  switch (thrown instanceof DOMException ? thrown.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "none";
  }
}

/** Whether the camera can be opened without a question to the person. */
export async function cameraIsAllowed(): Promise<boolean> {
  try {
    return (await navigator.permissions.query({ name: "camera" as PermissionName })).state === "granted";
  } catch {
    return false;
  }
}

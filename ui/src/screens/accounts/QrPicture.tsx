import encodeQR from "qr";

/** A QR code, drawn by us from its modules, so that no markup of anybody's gets into the page. Nothing for a text that is too long for one. */
export function QrPicture({ text, label, className }: { text: string; label: string; className?: string }) {
  const modules = modulesOf(text);
  if (!modules) return null;
  const path = modules.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return (
    <div className={className}>
      <svg
        viewBox={`0 0 ${modules.length} ${modules.length}`}
        role="img"
        aria-label={label}
        shapeRendering="crispEdges"
      >
        <path d={path} fill="#000000" />
      </svg>
    </div>
  );
}

function modulesOf(text: string): boolean[][] | undefined {
  try {
    // Four light modules around it, as ISO/IEC 18004 asks for.
    return encodeQR(text, "raw", { border: 4 });
  } catch {
    return undefined;
  }
}

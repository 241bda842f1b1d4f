import encodeQR from "qr";

/** A QR code, drawn by us from its modules, so that no markup of anybody's gets into the page. */
export function QrPicture({ text, label, className }: { text: string; label: string; className?: string }) {
  const modules: boolean[][] = encodeQR(text, "raw", { border: 0 });
  const size = modules.length;
  const path = modules.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return (
    <div className={className}>
      <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shapeRendering="crispEdges">
        <path d={path} fill="#000000" />
      </svg>
    </div>
  );
}

export function PairingScreen(_: { pairingId: string }) {
  return null;
}

/** linux/socket.h, as a sockaddr has it. */
export const AF_PACKET = 17;

/** `struct sockaddr_ll`: size in bytes. */
export const SOCKADDR_LL_SIZE = 20;

/**
 * Encodes the `struct sockaddr_ll` that binds a packet socket to an interface and a protocol (ETH_P_ALL, ...), or sends a
 * frame out of it (packet(7)).
 */
export function encodePacketAddress(index: number, protocol: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(SOCKADDR_LL_SIZE));
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, index, true);
  return new Uint8Array(view.buffer);
}

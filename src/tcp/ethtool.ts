import {
  type Attribute,
  encodeMessage,
  encodeText,
  findAttribute,
  NLM_F_ACK,
  NLM_F_REQUEST,
} from './netlink.js';

/** Generic netlink, which tells the number of a family by its name: linux/genetlink.h. */
export const GENL_ID_CTRL = 16;
export const CTRL_CMD_GETFAMILY = 3;
export const CTRL_ATTR_FAMILY_ID = 1;
export const CTRL_ATTR_FAMILY_NAME = 2;
export const GENL_HDRLEN = 4;

/** Settings of network devices, a family of it: linux/ethtool_netlink.h. */
export const ETHTOOL_GENL_VERSION = 1;
export const ETHTOOL_MSG_FEATURES_SET = 12;
export const ETHTOOL_A_HEADER_DEV_NAME = 2;
export const ETHTOOL_A_HEADER_FLAGS = 3;
export const ETHTOOL_FLAG_OMIT_REPLY = 2;
export const ETHTOOL_A_FEATURES_HEADER = 1;
export const ETHTOOL_A_FEATURES_WANTED = 3;
export const ETHTOOL_A_BITSET_BITS = 3;
export const ETHTOOL_A_BITSET_BITS_BIT = 1;
export const ETHTOOL_A_BITSET_BIT_NAME = 2;

/** Encodes the question which message type `ethtool` has today. */
export function encodeGetFamily(sequence: number, name: string): Uint8Array {
  return encodeMessage({
    type: GENL_ID_CTRL,
    flags: NLM_F_REQUEST,
    sequence,
    head: Uint8Array.of(CTRL_CMD_GETFAMILY, 1, 0, 0),
    attributes: [[CTRL_ATTR_FAMILY_NAME, encodeText(name)]],
  });
}

/** The number of a family, in the payload of the answer; undefined where it is not there. */
export function decodeFamily(payload: Uint8Array): number | undefined {
  const id = findAttribute(payload, GENL_HDRLEN, payload.length, CTRL_ATTR_FAMILY_ID);
  return id?.length === 2 ? (id[0] ?? 0) | ((id[1] ?? 0) << 8) : undefined;
}

/**
 * Encodes ETHTOOL_MSG_FEATURES_SET that switches features of a device off, by the names `ethtool -k` lists. What depends on
 * one goes with it. No pointer is involved, unlike in SIOCETHTOOL.
 */
export function encodeFeaturesOff(
  family: number,
  sequence: number,
  device: string,
  features: readonly string[],
): Uint8Array {
  // A bit that is listed without ETHTOOL_A_BITSET_BIT_VALUE is one to clear.
  const bits = features.map(
    (name): Attribute => [
      ETHTOOL_A_BITSET_BITS_BIT,
      [[ETHTOOL_A_BITSET_BIT_NAME, encodeText(name)]],
    ],
  );
  return encodeMessage({
    type: family,
    flags: NLM_F_REQUEST | NLM_F_ACK,
    sequence,
    head: Uint8Array.of(ETHTOOL_MSG_FEATURES_SET, ETHTOOL_GENL_VERSION, 0, 0),
    attributes: [
      [
        ETHTOOL_A_FEATURES_HEADER,
        [
          [ETHTOOL_A_HEADER_DEV_NAME, encodeText(device)],
          [ETHTOOL_A_HEADER_FLAGS, Uint8Array.of(ETHTOOL_FLAG_OMIT_REPLY, 0, 0, 0)],
        ],
      ],
      [ETHTOOL_A_FEATURES_WANTED, [[ETHTOOL_A_BITSET_BITS, bits]]],
    ],
  });
}

/**
 * Sets every option whose row names a capability, and prints as JSON how each was refused; null is not at all. A program of
 * its own, since it is run without the capabilities of the tests.
 *
 * usage: node option-refused.js
 */
import * as sys from '../../src/syscall/sys.js';

const rows = sys.socketOptions as Readonly<Record<string, sys.SocketOption<unknown>>>;

const values: { [N in sys.SocketOptionName]?: sys.SocketOptionValue<N> } = {
  IP_IPSEC_POLICY: new Uint8Array(168),
  IP_XFRM_POLICY: new Uint8Array(168),
  IPV6_DSTOPTS: new Uint8Array(8),
  IPV6_HOPOPTS: new Uint8Array(8),
  IPV6_IPSEC_POLICY: new Uint8Array(168),
  IPV6_JOIN_ANYCAST: { group: '2001:db8::', interface: 1 },
  IPV6_RTHDRDSTOPTS: new Uint8Array(8),
  IPV6_XFRM_POLICY: new Uint8Array(168),
  SO_MARK: 7,
  SO_RCVBUFFORCE: 1 << 20,
  SO_SNDBUFFORCE: 1 << 20,
  TCP_REPAIR: sys.TCP_REPAIR_ON,
};

function refusal(name: sys.SocketOptionName): string | null {
  using owned = new sys.Descriptors();
  const fd = owned.own(sys.socket(sys.AF_INET6, sys.SOCK_STREAM));
  try {
    // What has no value above is a flag.
    sys.setOption(fd, name, values[name] ?? true);
    return null;
  } catch (error) {
    return (error as sys.SyscallError).code;
  }
}

const names = Object.keys(rows).filter((name) => rows[name]?.needs !== undefined);
const codes = names.map((name) => [name, refusal(name as sys.SocketOptionName)]);
process.stdout.write(`${JSON.stringify(Object.fromEntries(codes))}\n`);

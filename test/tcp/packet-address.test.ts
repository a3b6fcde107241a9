import test from 'ava';
import { AF_PACKET, encodePacketAddress, SOCKADDR_LL_SIZE } from '../../src/tcp/packet-address.js';
import { fromC, noCompiler, withCompiler } from '../fixture/headers.js';

test('protocol in network order, index in host order', (t) => {
  t.is(
    Buffer.from(encodePacketAddress(0x01020304, 3)).toString('hex'),
    `110000030403020${'1'}${'00'.repeat(12)}`,
  );
});

withCompiler(`layout is that of the headers${noCompiler}`, (t) => {
  const body = `struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = 0x0300, .sll_ifindex = 7};
    printf("%d %zu ", AF_PACKET, sizeof a);
    for (size_t i = 0; i < sizeof a; i++) printf("%02x", ((unsigned char*)&a)[i]);`;
  const bytes = Buffer.from(encodePacketAddress(7, 3)).toString('hex');
  t.is(
    fromC(['sys/socket.h', 'linux/if_packet.h'], body),
    `${AF_PACKET} ${SOCKADDR_LL_SIZE} ${bytes}`,
  );
});

import type { ExecutionContext } from 'ava';
import * as sys from '../../src/syscall/sys.js';
import { IFF_RUNNING } from '../../src/tcp/rtnetlink.js';
import { Interfaces } from '../../src/world/interfaces.js';
import { Namespace } from '../../src/world/namespace.js';
import { noNamespace, testUnless } from './ability.js';

/** A test on the interfaces of a namespace of its own. */
const inside = (
  title: string,
  run: (t: ExecutionContext, interfaces: Interfaces) => Promise<void>,
): void =>
  testUnless(noNamespace, title, async (t) => {
    await using namespace = await Namespace.open();
    using interfaces = await Interfaces.open(await namespace.actor('interfaces'));
    await run(t, interfaces);
  });

inside('a veth pair, from nothing to one that runs', async (t, interfaces) => {
  await interfaces.createVeth({ name: 'a', linkAddress: '02:00:00:00:00:01' }, { name: 'b' });
  t.like(await interfaces.find('a'), { name: 'a', linkAddress: '02:00:00:00:00:01', mtu: 1500 });
  await interfaces.setUp('a');
  t.is((await interfaces.find('a')).flags & IFF_RUNNING, 0);
  const running = interfaces.running('a');
  await interfaces.setUp('b');
  t.not((await running).flags & IFF_RUNNING, 0);
  await t.notThrowsAsync(interfaces.running('b'));
});

inside('one that does not run in time: what was seen instead', async (t, interfaces) => {
  await interfaces.createVeth({ name: 'a' }, { name: 'b' });
  await interfaces.setUp('a');
  await t.throwsAsync(interfaces.running('a', 50), {
    message: /^a is not running: flags 0x1003, after 50 ms$/,
  });
});

inside('offload is switched off, and may be once more', async (t, interfaces) => {
  await interfaces.createVeth({ name: 'a' }, { name: 'b' });
  await interfaces.switchOffloadOff('a');
  await t.notThrowsAsync(interfaces.switchOffloadOff('a'));
});

for (const { does, act, code, message } of [
  {
    does: 'a pair of a name that is taken',
    act: (i: Interfaces) => i.createVeth({ name: 'lo' }, { name: 'b' }),
    code: 'EEXIST',
    message: /^RTM_NEWLINK EEXIST: .*\(lo and b\)$/,
  },
  {
    does: 'a pair that goes to no namespace',
    act: (i: Interfaces) => i.createVeth({ name: 'a' }, { name: 'b', netns: 0x7fffffff }),
    code: 'EBADF',
    message: /^RTM_NEWLINK EBADF/,
  },
  {
    does: 'a link address of a group',
    act: (i: Interfaces) =>
      i.createVeth({ name: 'a', linkAddress: '01:00:00:00:00:01' }, { name: 'b' }),
    code: 'EADDRNOTAVAIL',
    message: /^RTM_NEWLINK EADDRNOTAVAIL/,
  },
  {
    does: 'an interface that is not there',
    act: (i: Interfaces) => i.setUp('nowhere'),
    code: 'ENODEV',
    message: /^RTM_GETLINK ENODEV: .*\(nowhere\)$/,
  },
  {
    does: 'the offload of one that is not there: in words of the kernel',
    act: (i: Interfaces) => i.switchOffloadOff('nowhere'),
    code: 'ENODEV',
    message: /^ETHTOOL_MSG_FEATURES_SET ENODEV: .*\(nowhere: no device matches name\)$/,
  },
  {
    does: 'an address twice: in words of the kernel',
    act: async (i: Interfaces) => {
      await i.addAddress('lo', '10.0.0.1', 32);
      await i.addAddress('lo', '10.0.0.1', 32);
    },
    code: 'EEXIST',
    message: /^RTM_NEWADDR EEXIST: .*\(10\.0\.0\.1 on lo: .*assigned\)$/,
  },
  {
    does: 'a neighbour twice',
    act: async (i: Interfaces) => {
      await i.createVeth({ name: 'a' }, { name: 'b' });
      await i.setUp('a');
      await i.addNeighbour('a', 'fd00::2', '02:00:00:00:00:02');
      await i.addNeighbour('a', 'fd00::2', '02:00:00:00:00:02');
    },
    code: 'EEXIST',
    message: /^RTM_NEWNEIGH EEXIST: .*\(fd00::2 on a\)$/,
  },
]) {
  inside(`refused: ${does}`, async (t, interfaces) => {
    await t.throwsAsync(act(interfaces), { instanceOf: sys.SyscallError, code, message });
  });
}

inside('a name that is none is not sent', async (t, interfaces) => {
  await t.throwsAsync(interfaces.find('a/b'), { instanceOf: RangeError });
  await t.throwsAsync(interfaces.createVeth({ name: 'a' }, { name: '' }), {
    instanceOf: RangeError,
  });
});

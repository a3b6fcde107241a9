/** A dump that changes cut through, which the kernel marks: what is done about it, and what a user is told. */
import { SockDiag } from '../../src/index.js';
import * as sys from '../../src/syscall/sys.js';
import { NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_OVERRUN } from '../../src/tcp/netlink.js';
import { test } from '../fixture/descriptors.js';

const NLM_F_MULTI = 2;

/** The last message of a dump, as netlink_dump_done() writes it. */
function message(type: number, sequence: number, flags = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint32(0, 20, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F_MULTI | flags, true);
  view.setUint32(8, sequence, true);
  return new Uint8Array(view.buffer);
}

/** What is asked of a kernel that gives these answers, one message each; no kernel interrupts a dump when told to. */
function asked(answers: readonly Uint8Array[]): { questions: number; incomplete: string[] } {
  const [here = -1, there = -1] = sys.socketpair(
    sys.AF_UNIX,
    sys.SOCK_SEQPACKET | sys.SOCK_NONBLOCK | sys.SOCK_CLOEXEC,
  );
  using owned = new sys.Descriptors();
  owned.own(there);
  using diag = new SockDiag(here);
  for (const answer of answers) sys.send(there, answer);
  const { incomplete } = diag.snapshot();
  let questions = 0;
  const room = new Uint8Array(1024);
  while (sys.poll([{ fd: there, events: sys.POLLIN }], 0)[0]?.revents === sys.POLLIN) {
    sys.recv(there, room);
    questions++;
  }
  return { questions, incomplete: [...incomplete] };
}

const whole = (sequence: number): Uint8Array => message(NLMSG_DONE, sequence);
const cut = (sequence: number): Uint8Array => message(NLMSG_DONE, sequence, NLM_F_DUMP_INTR);

for (const { what, answers, questions, incomplete } of [
  { what: 'whole: asked once', answers: [whole(1)], questions: 1, incomplete: [] },
  {
    what: 'interrupted, then whole: asked again, and nothing to be said',
    answers: [cut(1), whole(2)],
    questions: 2,
    incomplete: [],
  },
  {
    what: 'interrupted each time: asked four times, and said',
    answers: [cut(1), cut(2), cut(3), cut(4)],
    questions: 4,
    incomplete: ['dump interrupted by changes'],
  },
  {
    what: 'overrun, then whole: asked again',
    answers: [message(NLMSG_OVERRUN, 1), whole(1), whole(2)],
    questions: 2,
    incomplete: [],
  },
]) {
  test(`a dump that is ${what}`, (t) => {
    t.deepEqual(asked(answers), { questions, incomplete });
  });
}

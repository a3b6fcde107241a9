/** What a network, a link, a wire and a world take: the same as junk-rows.ts for what has to be opened once. */
import * as lab from '../../src/lab.js';
import { kinds, oneOf } from '../syscall/junk-argument.js';
import { end, type Options, type Row, withOptions } from './junk-rows.js';

const { any, ms } = kinds;
const isUnexpected = (error: unknown): boolean => error instanceof lab.UnexpectedSegmentError;

/** A network and its parts, and a world. */
export interface Opened {
  readonly network: lab.LinkedNetwork;
  readonly wire: lab.Wire;
  readonly world: lab.World;
}

/** What a network and its parts take; they are opened once, since each takes a moment. */
export function networkRows(opened: () => Opened): Readonly<Record<string, Row>> {
  const match: Options<lab.Match> = {
    fields: { from: end, flags: any, payload: any, nth: any, count: any },
  };
  const set =
    (fault: (match: lab.Match, ms: number) => lab.Fault) => (one: lab.Match, delayMs: number) =>
      fault(one, delayMs).remove();
  const way = (act: (from: 'client') => void): Row => ({
    takes: [end],
    right: ['client'],
    call: act,
  });
  const place = (host: () => lab.Host, name: string): Readonly<Record<string, Row>> => ({
    [`${name}#actor`]: {
      ...{ takes: [any], right: ['x'] },
      call: async (text: string) => (await host().actor(text)).stop(),
    },
    [`${name}#setSysctl`]: {
      takes: [oneOf('net/ipv4/tcp_fin_timeout', 'net/../x', 'kernel/x'), any],
      right: ['net/ipv4/tcp_fin_timeout', '60'],
      call: (path: string, value: string) => host().setSysctl(path, value),
    },
  });
  return {
    ...place(() => opened().world, 'World'),
    ...place(() => opened().network.client, 'NetworkHost'),
    'Network#wire': withOptions<lab.ConversationOptions>(
      { fields: { version: any, port: any, iss: any, mss: any, wscale: any } },
      { call: async (options: object) => (await opened().network.wire(options)).close() },
    ),
    'Link#drop': withOptions(match, { call: set((one) => opened().network.link.drop(one)) }),
    'Link#duplicate': withOptions(match, {
      call: set((one) => opened().network.link.duplicate(one)),
    }),
    'Link#reorder': withOptions(match, { call: set((one) => opened().network.link.reorder(one)) }),
    'Link#watch': withOptions(match, { call: set((one) => opened().network.link.watch(one)) }),
    'Link#delay': {
      ...{ takes: [oneOf({}), ms], right: [{}, 0] },
      call: set((one, delayMs) => opened().network.link.delay(one, delayMs)),
    },
    'Link#pause': way((from) => opened().network.link.pause(from)),
    'Link#resume': way((from) => opened().network.link.resume(from)),
    'Link#cut': way((from) => opened().network.link.cut(from)),
    'Link#mend': way((from) => opened().network.link.mend(from)),
    'Wire#send': withOptions<lab.SendOptions>(
      {
        given: { to: 9 },
        fields: {
          ...{ seq: any, ack: any, win: any, ts: any, urgent: any, data: any },
          options: oneOf([{ kind: 'mss' }], [{ kind: 'x' }], [{ kind: 'sack', blocks: [5] }]),
          ...{ to: any, badChecksum: any },
        },
      },
      {
        takes: [oneOf('S', '.', 'X')],
        right: ['S'],
        call: (flags: string, options: object) => opened().wire.send(flags, options),
        own: (error) => /^nobody to send to/.test((error as Error).message),
      },
    ),
    'Wire#expect': withOptions<lab.ExpectOptions>(
      {
        given: { deadlineMs: 0 },
        fields: { seq: any, ack: any, win: any, data: any, again: any, deadlineMs: ms },
      },
      {
        ...{ takes: [oneOf('S', 'X')], right: ['S'], own: isUnexpected },
        call: (flags: string, options: object) =>
          opened().wire.expect(flags, options === undefined ? { deadlineMs: 0 } : options),
      },
    ),
    'Wire#expectNothing': withOptions<Pick<lab.ExpectOptions, 'deadlineMs'>>(
      { given: { deadlineMs: 0 }, fields: { deadlineMs: ms } },
      {
        own: isUnexpected,
        call: (options: object) =>
          opened().wire.expectNothing(options === undefined ? { deadlineMs: 0 } : options),
      },
    ),
    'Wire#connect': {
      ...{ takes: [kinds.seconds], right: [9], own: isUnexpected },
      call: (port: number) => opened().wire.connect(port),
    },
  };
}

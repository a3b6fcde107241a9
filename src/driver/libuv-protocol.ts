// What goes between the libuv driver and its programs: a JSON document a line, orders one way, answers and events back.

import type { Endpoint } from '../tcp/address.js';
import type {
  HttpAnswer,
  HttpRequest,
  NodeConnectOptions,
  Reading,
  ServerCall,
  SocketCall,
} from './node-side.js';

/** How to listen; what is left out is Node's default. */
export interface ListenOrder extends Endpoint {
  readonly backlog?: number;
  readonly allowHalfOpen?: boolean;
  readonly pauseOnConnect?: boolean;
  readonly reading?: Reading;
  readonly http?: HttpAnswer;
}

/** How to connect; what is left out is Node's default. */
export interface ConnectOrder extends Endpoint, NodeConnectOptions {
  readonly localPort?: number;
  /** Starts paused: nothing is read until it is asked for. */
  readonly paused?: boolean;
}

/** All that a program can be ordered to do. */
export interface Acts {
  listen(order: ListenOrder): Endpoint;
  accept(): void;
  connect(order: ConnectOrder): void;
  /** Bytes as base64; how many they were, when the kernel has taken them. */
  send(bytes: string): number;
  /** One 'data' event, as base64; '' for 'end'. */
  receive(): string;
  end(): void;
  destroy(): void;
  resetAndDestroy(): void;
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean, initialDelayMs: number): void;
  peer(): Endpoint;
  call(calls: readonly SocketCall[]): void;
  answer(): void;
  callServer(method: ServerCall): void;
  /** Lets the event loop go round, and answers. */
  settle(): void;
  /** Answers, and then blocks the event loop until the next order. */
  block(): void;
  unblock(): void;
  request(to: Endpoint, request: HttpRequest): void;
}

export interface Order {
  readonly id: number;
  readonly act: keyof Acts;
  readonly args: readonly unknown[];
}

/** What can be told of an error of Node's. */
export interface ToldError {
  readonly message: string;
  readonly code?: string;
  readonly syscall?: string;
}

/** What a program says. `tNs`: CLOCK_MONOTONIC, in decimal digits. */
export type Report =
  | { readonly kind: 'ready'; readonly version: string; readonly libuv: string }
  | { readonly kind: 'done'; readonly id: number; readonly value?: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ToldError }
  | {
      readonly kind: 'event';
      readonly tNs: string;
      readonly name: string;
      readonly bytes?: number;
      readonly code?: string;
    };

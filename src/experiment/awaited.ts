import { CannotExpress } from '../driver/role.js';
import type { Scenario, Stage } from '../scenario/scenario.js';

/** A promise that remembers whether anybody asked for its result. */
class Act<T> extends Promise<T> {
  asked = false;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  // biome-ignore lint/suspicious/noThenProperty: to know who asks is what it is for
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.asked = true;
    return super.then(fulfilled, rejected);
  }
}

/** The same error, whose stack goes on with that of who asked: an actor's comes out of no call of this thread's. */
function withCallers(error: unknown, { stack = '' }: Error): unknown {
  if (error instanceof Error) error.stack += stack.slice(stack.indexOf('\n'));
  return error;
}

/** A story's acts, by name. */
class Acts {
  readonly #all: [what: string, act: Act<unknown>][] = [];

  /** The same object; each promise that its methods return is remembered. */
  watch<T extends object>(object: T, name: string, parts: readonly string[] = []): T {
    return new Proxy(object, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        const what = name === '' ? String(key) : `${name}.${String(key)}`;
        if (parts.includes(String(key))) return this.watch(value as object, what);
        if (typeof value !== 'function' || typeof key === 'symbol') return value;
        return (...args: unknown[]) => {
          const asked = new Error();
          const result: unknown = value.apply(target, args);
          return result instanceof Promise ? this.#act(`${what}()`, result, asked) : result;
        };
      },
    });
  }

  #act(what: string, promise: Promise<unknown>, asked: Error): Act<unknown> {
    const act = new Act<unknown>((resolve, reject) =>
      promise.then(resolve, (error) => reject(withCallers(error, asked))),
    );
    // Its failure is told by `forgotten`, not by the process.
    Promise.prototype.then.call(act, undefined, () => {});
    this.#all.push([what, act]);
    return act;
  }

  /** The acts whose result nobody has asked for. */
  get forgotten(): string[] {
    return this.#all.filter(([, { asked }]) => !asked).map(([what]) => what);
  }
}

/**
 * The same scenario, which fails if its story leaves out an `await`: what follows then overtakes what came before, and an
 * error that nobody hears would end the process.
 */
export function withEveryActAwaited(scenario: Scenario): Scenario {
  return {
    ...scenario,
    async run(stage: Stage): Promise<void> {
      const acts = new Acts();
      const message = (): string => {
        const { forgotten } = acts;
        return forgotten.length === 0 ? '' : `not awaited: ${forgotten.join(', ')}`;
      };
      try {
        await scenario.run(acts.watch(stage, '', ['server', 'client']));
      } catch (error) {
        const forgotten = message();
        if (error instanceof CannotExpress || forgotten === '') throw error;
        const said = error instanceof Error ? error.message : String(error);
        throw new Error(`${said}; ${forgotten}`, { cause: error });
      }
      const forgotten = message();
      if (forgotten !== '') throw new Error(forgotten);
    },
  };
}

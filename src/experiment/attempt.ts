/** Starts an observer where this process may, else says why not. */
export async function attempt<T>(start: () => Promise<T>, needs: string): Promise<T | string> {
  try {
    return await start();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    return error.code === 'EPERM' ? `needs ${needs} (${error.message})` : error.message;
  }
}

/** Starts an observer of each, or none and says why: half of what happened would contradict the rest. */
export async function attemptAll<T, O extends AsyncDisposable>(
  all: Iterable<T>,
  start: (each: T) => Promise<O | string>,
): Promise<O[] | string> {
  const started: O[] = [];
  try {
    for (const each of all) {
      const observer = await start(each);
      if (typeof observer === 'string') return observer;
      started.push(observer);
    }
    // The caller's from here on: nothing is left to stop.
    return started.splice(0);
  } finally {
    await Promise.all(started.map((observer) => observer[Symbol.asyncDispose]()));
  }
}

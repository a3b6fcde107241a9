/** Why an observer cannot run here, where no system call said so. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
  readonly code = 'ERR_UNAVAILABLE';
}

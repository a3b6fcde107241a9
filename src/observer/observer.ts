/** What an observer can tell and what it asks for: the same headings for all, so that they can be compared. */
export interface Availability {
  readonly name: string;
  /** Whether it can run in this process, here and now. */
  readonly available: boolean;
  /** Why not, with the errno where one said so; or what it has to do without. */
  readonly reason?: string;
  /** By which of several ways in, where there are some. */
  readonly via?: string;
  readonly sees: string;
  readonly blindTo: string;
  readonly costs: string;
  readonly needs: string;
  /** Which clock its times are of, and how late they can be. */
  readonly clock: string;
}

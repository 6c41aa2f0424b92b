/**
 * The seam to a replicated state machine. One instance per group; all calls come from the node's turn loop, in log
 * order, never concurrently.
 */
import type { Frame } from '@millrace/record'
import type { MachineSnapshots } from './machine-snapshots.ts'

export interface AppliedPosition {
  readonly index: number
  readonly term: number
}

export interface StateMachine {
  /**
   * What the state already holds when the group is opened: entries up to here are not handed to `apply` again. A
   * state machine without a checkpoint answers { index: 0, term: 0 } and gets everything from the log's base on.
   */
  readonly applied: AppliedPosition

  /** How its state reaches other replicas as a whole. Absent: others get it from the log, which must reach back to birth. */
  readonly snapshots?: MachineSnapshots

  /**
   * Applies committed frames of every kind (`noop` and `configuration` included, so that `applied` is dense). Must not
   * fail for a reason that another replica would not have too: a throw halts the replica.
   *
   * @returns one result per frame for the waiters of these frames, or nothing where no frame has one
   */
  apply(frames: readonly Frame[]): readonly unknown[] | undefined

  /**
   * The entries up to `last` count as applied and will never be seen: an operator has given them up, by the entry at
   * `givenUpAt`, which is applied in its turn. Called between two batches, when the entry before them is applied. Absent: a
   * state that lacks an entry is of no use, and nothing is ever given up.
   */
  passLost?(last: AppliedPosition & { readonly nextOffset: number }, givenUpAt: number): void

  /** This replica became leader and has applied the first entry of its term, or stopped being leader. */
  leadership(event: LeadershipEvent): void

  /** Writes a checkpoint of what is applied, durably. Called now and then and at shutdown. */
  checkpoint(): Promise<AppliedPosition>

  close(): Promise<void>
}

export type LeadershipEvent =
  /** Proposals are possible: everything before the term has been applied. `nextOffset`: the end of the log. */
  | { readonly type: 'started'; readonly term: number; readonly nextOffset: number }
  /** Accepted proposals may or may not commit; the state machine drops what it expected of them. */
  | { readonly type: 'stopped' }

/** What the benchmark asks of the probe in a process, as lines of JSON. Loaded into those processes: imports nothing big. */
import { join } from 'node:path'
import type { Counts } from './counters.ts'

/** Environment variable with the folder of the sockets. Names that begin with MILLRACE_ would not reach a node. */
export const PROBES_FOLDER = 'BENCH_PROBES_FOLDER'

export type Question =
  /** Samples the stack of the main thread from now on. */
  | { readonly type: 'start'; readonly intervalUs: number }
  /** Ends that and writes the profile to the file. */
  | { readonly type: 'stop'; readonly file: string }
  /** Counts from now on. */
  | { readonly type: 'count' }
  /** Ends that and says what was counted. */
  | { readonly type: 'counted' }

export type Answer = { readonly ok: true; readonly counts?: Counts } | { readonly ok: false; readonly message: string }

export function socketOf(folder: string, pid: number): string {
  return join(folder, `${pid}.sock`)
}

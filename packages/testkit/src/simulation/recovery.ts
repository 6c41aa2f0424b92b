/** What a replica starts from: what the log store has recovered, and the state machine's checkpoint. */
import type { RecoveredLog } from '@millrace/log-store'
import type { InitialState } from '@millrace/raft-core'
import type { Payload } from './payload.ts'
import type { RandomStream } from './random-stream.ts'
import { type StorageRecord, startBallot } from './storage-record.ts'

/**
 * The state that a group starts from. Commit is what was written with entries, or what the state machine proves: it has
 * applied an entry that this very log holds. The configuration is the newest one at or below commit.
 *
 * @param random how many of the newest entries are handed over in memory, and what else a host may leave out
 */
export function recover(found: RecoveredLog, disk: StorageRecord, random: RandomStream): InitialState<Payload> {
  const log = disk.durable
  const { index: appliedIndex, term: appliedTerm } = disk.checkpoint
  const proven = log.term(appliedIndex) === appliedTerm ? appliedIndex : 0
  const commit = Math.min(log.lastIndex, Math.max(found.commit, log.base.index, proven))
  const { configuration, configurationIndex } = log.configurationAt(commit)
  const inMemory = random.int(log.entries.length + 1)
  return {
    hardState: { ...startBallot(found), commit },
    base: { index: log.base.index, term: log.base.term },
    lastIndex: log.lastIndex,
    terms: found.terms,
    configuration,
    configurationIndex,
    ...(configurationIndex > log.base.index && random.chance(0.8) && { baseConfiguration: log.base.configuration }),
    applied: Math.max(log.base.index, Math.min(appliedIndex, commit)),
    entries: log.entries.slice(log.entries.length - inMemory),
    unappliedConfigIndexes: log.configurationsAbove(configurationIndex),
    ...(found.uncertainUntil && { uncertainUntil: found.uncertainUntil }),
  }
}

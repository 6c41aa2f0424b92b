/**
 * The base record that a group is born from. Every replica makes it by itself from what the catalogue committed, so it
 * depends on nothing else: two replicas of one group never disagree about what came before their first entry.
 */
import type { BaseRecord } from '@millrace/log-store'
import { crc32 } from '@millrace/record'
import { encodeGroupConfiguration } from './configuration-codec.ts'
import type { GroupConfiguration } from './group-handle.ts'

export interface GroupBirth {
  readonly clusterId: string
  readonly group: number
  /** Index of the catalogue entry that created the group; 0 for the catalogue itself. */
  readonly createIndex: number
  /** Timestamp of that entry, milliseconds. */
  readonly createTimestamp: number
  readonly configuration: GroupConfiguration
}

/** Index and term that the log of a new group stands at: its first entry has index 2. */
export const BIRTH_INDEX = 1
export const BIRTH_TERM = 1

/** The base record of a new group, identical on every replica. */
export function birthRecord(birth: GroupBirth): BaseRecord {
  const { clusterId, group, createIndex, createTimestamp, configuration } = birth
  return {
    index: BIRTH_INDEX,
    term: BIRTH_TERM,
    chain: birthChain(clusterId, group, createIndex),
    timestamp: createTimestamp,
    nextOffset: 0,
    configuration: encodeGroupConfiguration(configuration),
    configurationIndex: BIRTH_INDEX,
    voidBelow: 0,
  }
}

/**
 * What the log of a replica stands at that joins a group later: nothing. It has no configuration, and until a snapshot
 * brings one it neither votes nor campaigns.
 */
export const UNINITIALISED: BaseRecord = {
  ...{ index: 0, term: 0, chain: 0, timestamp: 0, nextOffset: 0 },
  ...{ configuration: new Uint8Array(0), configurationIndex: 0, voidBelow: 0 },
}

/** Where the chain of a group begins: logs of different clusters, groups or incarnations of a group never join. */
function birthChain(clusterId: string, group: number, createIndex: number): number {
  const id = new TextEncoder().encode(clusterId)
  const bytes = new Uint8Array(id.length + 16)
  bytes.set(id)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(id.length, BigInt(group), true)
  view.setBigUint64(id.length + 8, BigInt(createIndex), true)
  return crc32(bytes)
}

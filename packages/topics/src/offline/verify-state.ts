/**
 * Checks the checkpoints of a node that is not running: the LMDB file as a file, every value in it against its checksum,
 * every group's values as a whole, and each checkpoint against the log that it belongs to. Changes nothing, reads without
 * the library, which a damaged file can end or mislead.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { AppliedPosition } from '@millrace/raft-node'
import { BIRTH_INDEX } from '@millrace/raft-node'
import { CheckpointCheck } from '../checkpoint-entries.ts'
import { GROUP_BYTES, groupOfKey } from '../lmdb-keys.ts'
import { StateStoreError } from '../state-store.ts'
import { verifyLmdbFile } from './verify-lmdb.ts'

export const STATE_FOLDER = 'state'
const DATA_FILE = 'data.mdb'
/** Who reads; made anew by the first process that opens the folder. */
const LOCK_FILE = 'lock.mdb'

/** Where the log of a group begins and ends on this node. */
export interface LogExtent {
  readonly group: number
  /** The state up to this entry is only in a checkpoint. */
  readonly baseIndex: number
  /** Null where the end cannot be read. */
  readonly lastIndex: number | null
}

/** Something that is not what it was written as, or contradicts the rest of the folder. */
export interface StateDamage {
  /** Relative to the data folder. */
  readonly file: string
  /** Where the structure that failed starts in the file, bytes; 0 where the file as a whole is meant. */
  readonly position: number
  readonly what: string
  /** What it costs and what to do about it. */
  readonly advice: string
}

export interface StateReport {
  readonly counts: { readonly checkpoints: number; readonly values: number; readonly valueBytes: number }
  readonly damage: readonly StateDamage[]
  readonly notes: readonly { readonly file: string; readonly what: string }[]
  readonly notChecked: readonly { readonly file: string; readonly what: string }[]
}

/**
 * @param dataFolder of a node; locked by the caller
 * @param logs of the groups whose base record can be read
 * @throws what the system says where a file is there and cannot be read
 */
export function verifyState(dataFolder: string, logs: readonly LogExtent[]): StateReport {
  return new StateVerification(dataFolder, logs).run()
}

class StateVerification {
  readonly #dataFolder: string
  readonly #logs: ReadonlyMap<number, LogExtent>
  readonly #counts = { checkpoints: 0, values: 0, valueBytes: 0 }
  readonly #damage: StateDamage[] = []
  readonly #notes: { file: string; what: string }[] = []
  readonly #notChecked: { file: string; what: string }[] = []
  /** Groups with a checkpoint, whole or not. */
  readonly #found = new Set<number>()
  #isFileWhole = true
  #current:
    | { readonly group: number; readonly check: CheckpointCheck; readonly position: number; isWhole: boolean }
    | undefined

  constructor(dataFolder: string, logs: readonly LogExtent[]) {
    this.#dataFolder = dataFolder
    this.#logs = new Map(logs.map(log => [log.group, log]))
  }

  run(): StateReport {
    const names = namesIn(join(this.#dataFolder, STATE_FOLDER))
    for (const name of names ?? [])
      if (name !== DATA_FILE && name !== LOCK_FILE)
        this.#notChecked.push({ file: `${STATE_FOLDER}/${name}`, what: 'not a file of the checkpoints' })
    const isFile = names?.includes(DATA_FILE) === true
    const isUsed = isFile && this.#verifyFile()
    this.#endGroup()
    if (this.#isFileWhole) this.#verifyMissing(isUsed)
    return { counts: this.#counts, damage: this.#damage, notes: this.#notes, notChecked: this.#notChecked }
  }

  #verifyFile(): boolean {
    return verifyLmdbFile(join(this.#dataFolder, STATE_FOLDER, DATA_FILE), {
      damaged: (position, what) => {
        this.#isFileWhole = false
        this.#damaged(position, what, this.#adviceForFile())
      },
      value: (key, value, position) => this.#value(key, value, position),
    })
  }

  #value(key: Buffer, value: Buffer, position: number): void {
    this.#counts.values++
    this.#counts.valueBytes += value.length
    if (key.length < GROUP_BYTES) {
      this.#damaged(position, `key ${key.toString('hex')} is of no group`, this.#adviceForFile())
      return
    }
    const group = groupOfKey(key)
    if (this.#current?.group !== group) {
      this.#endGroup()
      this.#current = { group, check: new CheckpointCheck(group), position, isWhole: true }
      this.#counts.checkpoints++
      this.#found.add(group)
    }
    const current = this.#current!
    const fault = refusalOf(() => current.check.add(key.subarray(GROUP_BYTES), value))
    if (fault === undefined) return
    current.isWhole = false
    this.#damaged(position, fault, this.#adviceForGroup(group))
  }

  /** After the last value of a group. */
  #endGroup(): void {
    const current = this.#current
    this.#current = undefined
    if (current?.isWhole !== true) return
    const { group, check, position } = current
    let applied: AppliedPosition | undefined
    const fault = refusalOf(() => {
      applied = check.end()
    })
    if (fault !== undefined) this.#damaged(position, fault, this.#adviceForGroup(group))
    else if (applied !== undefined) this.#compareWithLog(group, applied, position)
  }

  #compareWithLog(group: number, applied: AppliedPosition, position: number): void {
    const log = this.#logs.get(group)
    if (log === undefined) {
      this.#notes.push({ file: FILE, what: `a checkpoint of group ${group}, of which there is no log here` })
    } else if (applied.index < log.baseIndex) {
      const what = `state of group ${group}: it is of entry ${applied.index}, the log starts after entry ${log.baseIndex}`
      this.#damaged(position, what, REPLACE)
    } else if (log.lastIndex !== null && applied.index > log.lastIndex) {
      const what = `the checkpoint of group ${group} is of entry ${applied.index}, the log ends at ${log.lastIndex}`
      this.#notes.push({ file: FILE, what })
    }
  }

  /** Groups whose log no longer reaches back to their birth need a checkpoint. */
  #verifyMissing(isUsed: boolean): void {
    const needed = [...this.#logs.values()].filter(({ baseIndex }) => baseIndex > BIRTH_INDEX)
    for (const { group, baseIndex } of needed) {
      if (this.#found.has(group)) continue
      this.#damaged(0, `no checkpoint of group ${group}, whose log starts after entry ${baseIndex}`, REPLACE)
    }
    if (!isUsed && this.#logs.size > 0 && needed.length === 0)
      this.#notes.push({
        file: FILE,
        what: 'there are no checkpoints; the next start replays the logs from their start',
      })
  }

  #adviceForFile(): string {
    const cut = [...this.#logs.values()].filter(({ baseIndex }) => baseIndex > BIRTH_INDEX).map(({ group }) => group)
    if (cut.length === 0)
      return 'no record is lost: move the folder "state" away and start the node, it replays its logs'
    return `records are in the log, but the logs of groups ${cut.join(', ')} no longer start at their birth: move the folder "state" away and start the node, a whole snapshot of the group on its disk takes the place; replace the replicas that stay closed`
  }

  #adviceForGroup(group: number): string {
    const log = this.#logs.get(group)
    if (log !== undefined && log.baseIndex > BIRTH_INDEX) return REPLACE
    return 'no record is lost: start the node, it drops this checkpoint and replays the log of the group'
  }

  #damaged(position: number, what: string, advice: string): void {
    this.#damage.push({ file: FILE, position, what, advice })
  }
}

const FILE = `${STATE_FOLDER}/${DATA_FILE}`
const REPLACE =
  'the log alone cannot bring this state back: start the node, a whole snapshot of the group on its disk takes the place, or the state of another replica'

/** Null where there is no folder. */
function namesIn(folder: string): string[] | null {
  try {
    return readdirSync(folder).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** What a check refuses, in words; anything else that it throws goes on. */
function refusalOf(check: () => void): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (error instanceof StateStoreError) return error.message
    throw error
  }
}

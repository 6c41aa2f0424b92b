/**
 * What a verification has to say, gathered while it runs: damage, things worth knowing that lose nothing, files that it
 * cannot judge, and how much it looked at. File names are relative to the data folder.
 */

/** Something that is not what it was written as, or contradicts the rest of the folder. */
export interface Damage {
  readonly file: string
  /** Where the structure that failed starts in the file, bytes; 0 where the file as a whole is meant. */
  readonly position: number
  readonly what: string
  /** What it costs and what to do, where that depends on more than the kind of the file. */
  readonly advice?: string
}

/** A file, and what there is to say about it. */
export interface Remark {
  readonly file: string
  readonly what: string
}

/** How much was looked at. */
export interface VerifyCounts {
  groups: number
  segments: number
  rounds: number
  frames: number
  /** Of live segment files. */
  bytes: number
  indexFiles: number
  patches: number
  voteSlots: number
  snapshots: number
}

/** Where the log of a group begins and ends. */
export interface LogExtent {
  readonly group: number
  /** Of the entry that the log starts after. */
  readonly baseIndex: number
  /** Null where damage hides the end. */
  readonly lastIndex: number | null
}

export class Findings {
  readonly damage: Damage[] = []
  /** Damage in a segment whose entries are in a patch. */
  readonly repaired: Damage[] = []
  /** Nothing is lost, and the next start takes care of it. */
  readonly notes: Remark[] = []
  readonly notChecked: Remark[] = []
  /** Of the groups whose base record can be read, by rising group. */
  readonly extents: LogExtent[] = []
  readonly counts: VerifyCounts = {
    groups: 0,
    segments: 0,
    rounds: 0,
    frames: 0,
    bytes: 0,
    indexFiles: 0,
    patches: 0,
    voteSlots: 0,
    snapshots: 0,
  }
  readonly #root: string

  /** `root`: the data folder, without a slash at the end. */
  constructor(root: string) {
    this.#root = root
  }

  damaged(path: string, position: number, what: string): void {
    this.damage.push({ file: this.#relative(path), position, what })
  }

  repairedBy(path: string, position: number, what: string): void {
    this.repaired.push({ file: this.#relative(path), position, what })
  }

  note(path: string, what: string): void {
    this.notes.push({ file: this.#relative(path), what })
  }

  skipped(path: string, what: string): void {
    this.notChecked.push({ file: this.#relative(path), what })
  }

  #relative(path: string): string {
    return path.startsWith(`${this.#root}/`) ? path.slice(this.#root.length + 1) : path
  }
}

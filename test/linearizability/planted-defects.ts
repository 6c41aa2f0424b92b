/** Defects of the store for examples/kv, planted in a copy of it and of the packages below: the check has to find them. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { MutantCopy, replaceOnce } from '../simulation/mutant-copy.ts'
import type { Edit } from '../simulation/mutants/mutant.ts'
import { CHECKOUT } from '../simulation/sources.ts'
import type { DISTURBANCES } from './disturbances.ts'

export interface PlantedDefect {
  readonly says: string
  /** In a package. */
  readonly edits?: readonly Edit[]
  /** In a file of the example. */
  readonly exampleEdit?: { readonly file: string; readonly from: string; readonly to: string }
  /** What shows it. */
  readonly shownBy: keyof typeof DISTURBANCES
}

export const PLANTED_DEFECTS: readonly PlantedDefect[] = [
  {
    says: 'a follower reads what it has, and asks nobody',
    exampleEdit: {
      file: 'http-server.ts',
      from: "if (mode !== 'lease') await group.waitApplied(await group.readIndex())",
      to: '',
    },
    shownBy: 'a follower is cut off',
  },
  {
    says: 'a lease does not run out',
    edits: [
      {
        file: 'raft-core/reads/lease.ts',
        from: 'nowMs < this.untilMs',
        to: 'this.#untilMs > 0',
      },
    ],
    shownBy: 'the leader stands still and goes on',
  },
  {
    says: 'a write is acknowledged after 20 ms, committed or not',
    exampleEdit: {
      file: 'http-server.ts',
      from: 'await applyCommand(group, Buffer.from(JSON.stringify(command)))',
      to: 'await Promise.race([applyCommand(group, Buffer.from(JSON.stringify(command))), new Promise(resolve => setTimeout(resolve, 20, true))])',
    },
    shownBy: 'the leader hears nothing and is not heard, and its connections stay',
  },
]

export class DefectiveStore {
  readonly #packages: MutantCopy
  /** The program to be started. */
  readonly main: string

  /** @throws Error when an edit no longer applies */
  constructor({ says, edits = [], exampleEdit }: PlantedDefect) {
    this.#packages = new MutantCopy({ name: 'kv', says, edits })
    const folder = join(this.#packages.sources, 'examples/kv')
    cpSync(join(CHECKOUT, 'examples/kv/src'), join(folder, 'src'), { recursive: true })
    cpSync(join(CHECKOUT, 'examples/kv/package.json'), join(folder, 'package.json'))
    this.main = join(folder, 'src/main.ts')
    if (exampleEdit !== undefined) replaceOnce(join(folder, 'src', exampleEdit.file), exampleEdit.from, exampleEdit.to)
  }

  [Symbol.dispose](): void {
    this.#packages.remove()
  }
}

/** A copy of the sources with a defect in it, in a temporary folder. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Edit, Mutant } from './mutants/mutant.ts'
import { CHECKOUT, type Sources } from './sources.ts'

export class MutantCopy {
  readonly sources: Sources
  readonly #folder: string

  /** @throws Error when an edit no longer applies: its text must occur exactly once */
  constructor(mutant: Mutant) {
    this.#folder = mkdtempSync(join(tmpdir(), `millrace-mutant-${mutant.name}-`))
    this.sources = { core: join(this.#folder, 'core'), simulation: join(this.#folder, 'simulation') }
    writeFileSync(join(this.#folder, 'package.json'), '{ "type": "module" }\n')
    cpSync(CHECKOUT.core, this.sources.core, { recursive: true })
    cpSync(CHECKOUT.simulation, this.sources.simulation, { recursive: true })
    try {
      for (const edit of mutant.edits) this.#apply(edit)
    } catch (error) {
      this.remove()
      throw error
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true })
  }

  #apply({ file, from, to }: Edit): void {
    const path = join(this.#folder, file)
    const text = readFileSync(path, 'utf8')
    const found = text.split(from).length - 1
    if (found !== 1) throw new Error(`the patch of ${file} no longer applies: found ${found} times, not once:\n${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
}

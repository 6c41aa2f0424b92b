/** A copy of the packages that a simulation is made of, with a defect in one of them, in a temporary folder. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Edit, Mutant } from './mutants/mutant.ts'
import { CHECKOUT, type Sources } from './sources.ts'

/** They import each other by name, and nothing else of the house. */
const PACKAGES = ['record', 'proto', 'raft-core', 'log-store', 'raft-node', 'testkit']

export class MutantCopy {
  readonly sources: Sources

  /** @throws Error when an edit no longer applies: its text must occur exactly once */
  constructor(mutant: Mutant) {
    this.sources = mkdtempSync(join(tmpdir(), `millrace-mutant-${mutant.name}-`))
    try {
      for (const name of PACKAGES) this.#copy(name)
      for (const edit of mutant.edits) this.#apply(edit)
    } catch (error) {
      this.remove()
      throw error
    }
  }

  remove(): void {
    rmSync(this.sources, { recursive: true })
  }

  #copy(name: string): void {
    const from = join(CHECKOUT, 'packages', name)
    const to = join(this.sources, 'packages', name)
    cpSync(join(from, 'src'), join(to, 'src'), { recursive: true })
    cpSync(join(from, 'package.json'), join(to, 'package.json'))
    this.#link(to, join('@millrace', name))
    const modules = join(from, 'node_modules')
    if (!existsSync(modules)) return
    // What does not belong to the house stays where it is.
    for (const module of readdirSync(modules)) {
      if (module.startsWith('.') || module === '@millrace') continue
      if (!existsSync(join(this.sources, 'node_modules', module))) this.#link(join(modules, module), module)
    }
  }

  #link(target: string, module: string): void {
    const path = join(this.sources, 'node_modules', module)
    mkdirSync(join(path, '..'), { recursive: true })
    symlinkSync(target, path)
  }

  #apply({ file, from, to }: Edit): void {
    replaceOnce(pathIn(this.sources, file), from, to)
  }
}

/** What is wrong with the edits of a defect, by the sources of the checkout; edits of one file may build on each other. */
export function misfitsOf({ edits }: Mutant): readonly string[] {
  const texts = new Map<string, string>()
  const misplaced = edits.flatMap(({ file, from, to }) => {
    const path = pathIn(CHECKOUT, file)
    const text = texts.get(path) ?? (existsSync(path) ? readFileSync(path, 'utf8') : '')
    const found = text.split(from).length - 1
    texts.set(
      path,
      text.replace(from, () => to),
    )
    return found === 1 ? [] : [`${file} has the place of its edit ${found} times, not once`]
  })
  return [...misplaced, ...[...texts].flatMap(([path, text]) => (isTypeScript(text) ? [] : [`${path} does not parse`]))]
}

function isTypeScript(text: string): boolean {
  try {
    stripTypeScriptTypes(text)
    return true
  } catch {
    return false
  }
}

function pathIn(sources: Sources, file: Edit['file']): string {
  const [name = '', ...rest] = file.split('/')
  const folder = name === 'simulation' ? 'testkit/src/simulation' : `${name}/src`
  return join(sources, 'packages', folder, ...rest)
}

/** @throws Error where the file does not have `from` exactly once */
export function replaceOnce(path: string, from: string, to: string): void {
  const text = readFileSync(path, 'utf8')
  const found = text.split(from).length - 1
  if (found !== 1) throw new Error(`the patch of ${path} no longer applies: found ${found} times, not once:\n${from}`)
  writeFileSync(
    path,
    text.replace(from, () => to),
  )
}

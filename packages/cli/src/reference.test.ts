import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { EXIT_MEANINGS } from './exit-code.ts'
import { allCommands, buildProgram } from './program.ts'
import { streamTerminal } from './terminal/terminal.ts'

const REFERENCE = new URL('../../../docs/reference/cli.md', import.meta.url)

describe('docs/reference/cli.md', async () => {
  const page = readFileSync(REFERENCE, 'utf8')
  const program = await buildProgram(
    streamTerminal(new PassThrough() as unknown as NodeJS.WriteStream, new PassThrough()),
  )
  const commands = allCommands(program).slice(1)

  it.each(commands.map(command => [nameOf(command), command] as const))(
    'shows the help of %s as it is',
    (name, command) => {
      expect(page).toContain(`## millrace ${name}\n`)
      expect(page).toContain(command.helpInformation().trim())
    },
  )

  it('lists every exit code', () => {
    for (const [code, meaning] of Object.entries(EXIT_MEANINGS)) expect(page).toContain(`| ${code} | ${meaning} |`)
  })

  it('has no section of a command that is not there', () => {
    const sections = [...page.matchAll(/^## millrace (.+)$/gm)].map(([, name]) => name)
    expect(sections.toSorted()).toEqual(commands.map(nameOf).toSorted())
  })
})

type Command = ReturnType<typeof allCommands>[number]

function nameOf(command: Command): string {
  const { parent } = command
  return parent === null || parent.parent === null ? command.name() : `${nameOf(parent)} ${command.name()}`
}

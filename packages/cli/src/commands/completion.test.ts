import { spawnSync } from 'node:child_process'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { runProgram } from '../program.ts'
import { streamTerminal } from '../terminal/terminal.ts'

async function script(shell: string): Promise<string> {
  const stdout = new PassThrough()
  await runProgram(['completion', shell], streamTerminal(stdout as unknown as NodeJS.WriteStream, new PassThrough()))
  return String(stdout.read())
}

describe('completion', () => {
  it('completes in bash', async ({ skip }) => {
    if (spawnSync('bash', ['--version']).error) skip('no bash on this machine')
    const source = await script('bash')
    const complete = (line: string): string[] => {
      const ask = `${source}
COMP_WORDS=(${line}); [ "\${1}" = "" ] || true; COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _millrace; printf '%s\\n' "\${COMPREPLY[@]}"`
      return spawnSync('bash', ['-c', ask], { encoding: 'utf8' }).stdout.trim().split('\n')
    }
    expect(complete('millrace t')).toEqual(['tour', 'tail', 'topics'])
    expect(complete('millrace topics ""')).toEqual(expect.arrayContaining(['create', 'list', 'describe', 'delete']))
    expect(complete('millrace topics create demo --part')).toEqual(['--partitions'])
    expect(complete('millrace dev --fr')).toEqual(['--fresh'])
  })

  it.each(['zsh', 'fish'])('names every command for %s', async shell => {
    const source = await script(shell)
    for (const name of ['dev', 'append', 'tail', 'topics', 'create', 'describe', 'status', 'tour'])
      expect(source).toContain(name)
    const check = spawnSync(shell, ['-n'], { input: source, encoding: 'utf8' })
    if (check.error === undefined) expect(check.stderr).toBe('')
  })
})

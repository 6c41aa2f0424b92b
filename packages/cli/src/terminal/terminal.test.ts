import { PassThrough } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { tableLines } from './table.ts'
import { streamTerminal } from './terminal.ts'

function streams(isTTY: boolean): { stdout: NodeJS.WriteStream; stderr: PassThrough; text: () => string } {
  const stdout = Object.assign(new PassThrough(), { isTTY, columns: 40 })
  return {
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: new PassThrough(),
    text: () => String(stdout.read() ?? ''),
  }
}

describe('terminal', () => {
  it('keeps the live line below what is printed', () => {
    const { stdout, stderr, text } = streams(true)
    const terminal = streamTerminal(stdout, stderr)
    terminal.live('live 1')
    terminal.print('a line')
    terminal.live('live 2')
    terminal.live('')
    expect(text()).toBe('live 1\r\x1b[2Ka line\nlive 1\r\x1b[2Klive 2\r\x1b[2K')
  })

  it('has neither live lines nor colours elsewhere', () => {
    const { stdout, stderr, text } = streams(false)
    const terminal = streamTerminal(stdout, stderr)
    terminal.live('live')
    terminal.print(terminal.paint('red', 'plain'))
    terminal.note('for people')
    expect(text()).toBe('plain\n')
    expect(String(stderr.read())).toBe('for people\n')
    expect(terminal.interactive).toBe(false)
  })

  it('waits while the reader has no room', async () => {
    const { stdout, stderr, text } = streams(false)
    const terminal = streamTerminal(stdout, stderr)
    let written = false
    const write = terminal.write(Buffer.alloc(100_000)).then(() => {
      written = true
    })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(written).toBe(false)
    text()
    await write
  })
})

describe('tableLines', () => {
  it('is as wide as its widest cell, whatever its colour', () => {
    const lines = tableLines(
      [{ title: 'name' }, { title: 'n', align: 'right' }],
      [
        ['a', '1'],
        ['\x1b[31mlonger\x1b[39m', '100'],
      ],
    )
    expect(lines.map(stripVTControlCharacters)).toEqual(['NAME      N', 'a         1', 'longer  100'])
  })
})

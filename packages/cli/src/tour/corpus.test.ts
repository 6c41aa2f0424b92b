import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadCorpus, sequenceOf } from './corpus.ts'
import { digestOf, readLedger, writeLedger } from './ledger.ts'

describe('the lines of the tour', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-corpus-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  function file(content: string | Buffer): string {
    const path = join(folder, 'input')
    writeFileSync(path, content)
    return path
  }

  it('repeats a short file, and never cuts a long one', () => {
    const short = loadCorpus(file('a\n\nc'), 7)
    expect([short.fileLines, short.length]).toEqual([3, 7])
    expect(Array.from({ length: 7 }, (_, at) => String(short.line(at)))).toEqual([
      '0\ta',
      '1\t',
      '2\tc',
      '3\ta',
      '4\t',
      '5\tc',
      '6\ta',
    ])
    expect(loadCorpus(file('a\nb\nc\n'), 2).length).toBe(3)
  })

  it('refuses a file without lines', () => {
    expect(() => loadCorpus(file(''), 5)).toThrow('has no lines')
    expect(() => loadCorpus(join(folder, 'none'), 5)).toThrow('cannot read --input')
  })

  it('finds the number of a line again, and of no other bytes', () => {
    const corpus = loadCorpus(file(Buffer.from([0xff, 0x09, 0x0a, 0x31, 0x09])), 100)
    for (const sequence of [0, 1, 57]) expect(sequenceOf(corpus.line(sequence))).toBe(sequence)
    for (const foreign of ['', '\t', 'x\ty', '12', '-1\tx', '1.5\tx', '99999999999999999999\tx'])
      expect(sequenceOf(Buffer.from(foreign)), foreign).toBe(-1)
    // A view into a larger buffer, as a client hands records out.
    expect(sequenceOf(Buffer.from('xx42\tline').subarray(2))).toBe(42)
  })

  it('keeps a ledger', async () => {
    const path = join(folder, 'ledger')
    const ledger = writeLedger(path)
    const entries = Array.from({ length: 5000 }, (_, at) => ({
      sequence: at,
      partition: at % 3,
      offset: at,
      digest: digestOf(Buffer.of(at & 255)),
    }))
    for (const entry of entries) ledger.add(entry)
    await ledger.close()
    expect(await readLedger(path)).toEqual(entries)
  })
})

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDevFolder } from './dev-folder.ts'

describe('openDevFolder', () => {
  let base: string
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'millrace-dev-folder-'))
  })
  afterEach(() => rmSync(base, { recursive: true }))

  it('remembers the cluster once it is founded', async () => {
    const dir = join(base, 'a')
    const first = await openDevFolder(dir, { fresh: false })
    expect(first.marker).toBeUndefined()
    first.writeMarker({ nodes: 3, founded: true, running: false })
    await first.release()
    const second = await openDevFolder(dir, { fresh: false })
    expect(second.marker).toMatchObject({ nodes: 3 })
    await second.release()
  })

  it('takes a folder whose founding was interrupted for a new one, and clears what is left of it', async () => {
    const dir = join(base, 'a')
    await (await openDevFolder(dir, { fresh: false })).release()
    mkdirSync(join(dir, 'node-1'))
    const again = await openDevFolder(dir, { fresh: false })
    expect(again.marker).toBeUndefined()
    expect(existsSync(join(dir, 'node-1'))).toBe(false)
    await again.release()
  })

  it('empties only a folder that dev made', async () => {
    const dir = join(base, 'a')
    const first = await openDevFolder(dir, { fresh: false })
    mkdirSync(join(dir, 'node-1'))
    await first.release()
    await (await openDevFolder(dir, { fresh: true })).release()
    expect(existsSync(join(dir, 'node-1'))).toBe(false)

    const foreign = join(base, 'photos')
    mkdirSync(foreign)
    writeFileSync(join(foreign, 'cat.jpg'), 'cat')
    for (const fresh of [true, false])
      await expect(openDevFolder(foreign, { fresh })).rejects.toThrow('was not made by millrace dev')
    expect(existsSync(join(foreign, 'cat.jpg'))).toBe(true)
  })

  it('refuses a folder that is in use, and gives it back', async () => {
    const dir = join(base, 'a')
    const first = await openDevFolder(dir, { fresh: false })
    await expect(openDevFolder(dir, { fresh: true })).rejects.toThrow('another millrace dev uses')
    await first.release()
    await (await openDevFolder(dir, { fresh: false })).release()
  })
})

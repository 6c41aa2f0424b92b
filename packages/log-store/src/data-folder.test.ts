import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { inspectDataFolder, openDataFolder } from './data-folder.ts'
import type { Disk } from './disk.ts'
import { nodeDisk } from './node-disk.ts'
import { removeTemporaryFolders, temporaryFolder } from './testing/temporary-folder.ts'

afterAll(removeTemporaryFolders)

const NODE = { clusterId: 'c-1', nodeId: 2 }

async function newPath(): Promise<string> {
  return join(await temporaryFolder(), 'data')
}

test('a folder is made once, private, and opened again by the same node only', async () => {
  const path = await newPath()
  expect(await inspectDataFolder(path)).toEqual({ kind: 'missing' })
  const folder = await openDataFolder(path, { create: NODE })
  expect(folder.identity).toEqual(NODE)
  expect((await stat(path)).mode & 0o777).toBe(0o700)
  expect((await stat(join(path, 'identity'))).mode & 0o777).toBe(0o600)
  await folder.close()
  expect(await inspectDataFolder(path)).toEqual({ kind: 'existing', identity: NODE })
  await (await openDataFolder(path, { create: NODE, expectedIdentity: { clusterId: 'c-1' } })).close()
  await (await openDataFolder(path)).close()
  await expect(openDataFolder(path, { create: { ...NODE, nodeId: 3 } })).rejects.toMatchObject({ code: 'IDENTITY' })
  await expect(openDataFolder(path, { expectedIdentity: { clusterId: 'c-2' } })).rejects.toThrow(
    /node 2 of cluster c-1/,
  )
})

test('an empty or missing folder is not made unless asked', async () => {
  const path = await newPath()
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'IDENTITY' })
  await mkdir(path)
  expect(await inspectDataFolder(path)).toEqual({ kind: 'empty' })
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'IDENTITY' })
  expect(await readdir(path)).toEqual([])
})

test('a folder with data and without an identity is never made anew', async () => {
  const path = await newPath()
  await mkdir(join(path, 'log'), { recursive: true })
  await expect(openDataFolder(path, { create: NODE })).rejects.toMatchObject({ code: 'IDENTITY' })
  expect(await readdir(path)).toEqual(['log'])
})

test('every flipped bit of an identity is refused and nothing is changed', async () => {
  const path = await newPath()
  await (await openDataFolder(path, { create: NODE })).close()
  const whole = await readFile(join(path, 'identity'))
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = Uint8Array.from(whole)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    await writeFile(join(path, 'identity'), bytes)
    await expect(openDataFolder(path, { create: NODE })).rejects.toMatchObject({ code: 'IDENTITY' })
    expect(Uint8Array.from(await readFile(join(path, 'identity')))).toEqual(bytes)
  }
})

test('a second opening in this process is refused, and works after close', async () => {
  const path = await newPath()
  const folder = await openDataFolder(path, { create: NODE })
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'FOLDER_IN_USE' })
  await expect(openDataFolder(path)).rejects.toThrow(`process ${process.pid}`)
  await folder.close()
  await (await openDataFolder(path)).close()
})

test('a second process is refused by name of the first; a killed one leaves no lock', async () => {
  const path = await newPath()
  await (await openDataFolder(path, { create: NODE })).close()
  const program = `
    const { openDataFolder } = await import(${JSON.stringify(new URL('./data-folder.ts', import.meta.url).href)})
    await openDataFolder(${JSON.stringify(path)})
    console.log('open')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--conditions=millrace-source', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  await expect(openDataFolder(path)).rejects.toMatchObject({ code: 'FOLDER_IN_USE' })
  await expect(openDataFolder(path)).rejects.toThrow(`process ${child.pid}`)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await (await openDataFolder(path)).close()
})

/** As on a medium that takes nothing any more. */
function diskThatFails(code: string): Disk {
  const fail = (): Promise<never> => Promise.reject(Object.assign(new Error(`${code}: refused`), { code }))
  return {
    ...nodeDisk,
    makeFolder: fail,
    open: (path, mode) => (mode === 'read' ? nodeDisk.open(path, mode) : fail()),
  }
}

test.each(['EROFS', 'EACCES', 'ENOSPC'])('a folder that fails with %s is not writable', async code => {
  const path = await newPath()
  await expect(openDataFolder(path, { create: NODE, disk: diskThatFails(code) })).rejects.toMatchObject({
    code: 'FOLDER_NOT_WRITABLE',
  })
  await (await openDataFolder(path, { create: NODE })).close()
  const disk = diskThatFails(code)
  await expect(openDataFolder(path, { disk })).rejects.toMatchObject({ code: 'FOLDER_NOT_WRITABLE' })
  await (await openDataFolder(path)).close()
})

test('a file in the place of the folder is refused', async () => {
  const path = await newPath()
  await writeFile(path, 'something')
  await expect(openDataFolder(path, { create: NODE })).rejects.toMatchObject({ code: 'FOLDER_NOT_WRITABLE' })
  expect(await readFile(path, 'utf8')).toBe('something')
})

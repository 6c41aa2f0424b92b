import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { NodeConfig } from '../config/node-config.ts'
import { initNode } from '../node/init-node.ts'
import { serveNode } from '../node/serve-node.ts'
import { clusterConfigs } from '../testing/durable-cluster.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { ProducerLoad } from '../testing/producer-load.ts'
import { createTopics, freshFolders, silent, startAll, TOPICS } from '../testing/restored-cluster.ts'
import { createBackup } from './create-backup.ts'
import type { BackupManifest } from './manifest.ts'
import { restoreBackup } from './restore-backup.ts'
import { verifyBackup } from './verify-backup.ts'

describe('a backup', { timeout: 90_000 }, () => {
  let out: string
  let node: NodeConfig
  let manifest: BackupManifest

  beforeEach(async () => {
    ;[node] = (await clusterConfigs(1)) as [NodeConfig]
    await initNode(node, { clusterId: 'first' })
    const [running] = await startAll([node])
    const load = new ProducerLoad([running!.url])
    await createTopics(running!.url)
    load.start(TOPICS)
    await expect.poll(() => load.acked.length, { timeout: 20_000 }).toBeGreaterThan(20)
    await load.stop()
    out = join(temporaryFolder(), 'backup')
    manifest = await createBackup({ urls: [running!.url], out })
    await running!.close()
  })

  function filesOf(folder: string): string[] {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
      statSync(join(folder, name)).isFile(),
    )
  }

  test('with one flipped bit, anywhere in any file, is found damaged and not restored', async () => {
    const files = filesOf(out)
    expect(files).toHaveLength(2 + 2 * manifest.groups.length)
    for (const file of files) {
      const path = join(out, file)
      const whole = readFileSync(path)
      // Every byte of a small file would be read from end to end that often: six places, first and last among them.
      for (let i = 0; i <= 5; i++) {
        const at = Math.floor(((whole.length - 1) * i) / 5)
        const bytes = Buffer.from(whole)
        bytes[at]! ^= 1 << (i % 8)
        writeFileSync(path, bytes)
        const { damage } = await verifyBackup(out)
        expect(damage.length, `${file}, byte ${at}`).toBeGreaterThan(0)
        if (file.startsWith('groups')) expect(damage.map(each => each.file)).toContain(file)
      }
      const [config] = freshFolders([node])
      await expect(restoreBackup(out, config!)).rejects.toThrow(/damaged/)
      expect(existsSync(config!.dataDir)).toBe(false)
      writeFileSync(path, whole)
    }
    expect((await verifyBackup(out)).damage).toEqual([])
  })

  test('with a file that is cut off, longer or missing is found damaged; a strange file is named', async () => {
    const path = join(out, 'groups/1.frames')
    const whole = readFileSync(path)
    for (const bytes of [whole.subarray(0, -8), Buffer.concat([whole, whole.subarray(0, 8)]), Buffer.alloc(0)]) {
      writeFileSync(path, bytes)
      expect((await verifyBackup(out)).damage.map(({ file }) => file)).toEqual(['groups/1.frames'])
    }
    writeFileSync(path, whole)
    writeFileSync(join(out, 'notes.txt'), 'from Monday')
    expect(await verifyBackup(out)).toMatchObject({ damage: [], others: ['notes.txt'] })
  })

  test('without its manifest was never finished', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'groups'))
    await expect(verifyBackup(folder)).rejects.toMatchObject({ code: 'NOT_A_BACKUP' })
    await expect(verifyBackup(join(folder, 'none'))).rejects.toMatchObject({ code: 'NOT_A_BACKUP' })
  })

  test('is not made over anything, nor beside one that was broken off', async () => {
    await expect(createBackup({ urls: [], out })).rejects.toMatchObject({ code: 'OUT_EXISTS' })
    const other = join(temporaryFolder(), 'other')
    mkdirSync(`${other}.partial`)
    await expect(createBackup({ urls: [], out: other })).rejects.toMatchObject({ code: 'OUT_EXISTS' })
  })

  test('is restored into an empty folder only, under another cluster id', async () => {
    await expect(restoreBackup(out, node)).rejects.toMatchObject({ code: 'FOLDER_NOT_EMPTY' })
    const [fresh] = freshFolders([node])
    await expect(restoreBackup(out, fresh!, { clusterId: 'first' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    expect(existsSync(fresh!.dataDir)).toBe(false)
  })

  test('that is restored in part runs nowhere until it is restored as a whole', async () => {
    const [config] = freshFolders([node])
    const path = join(out, 'groups/2.frames')
    const whole = readFileSync(path)
    // The file rots between its verification and its use.
    const onProgress = (read: number, total: number) => {
      if (read === total) writeFileSync(path, whole.subarray(0, whole.length - 8))
    }
    await expect(restoreBackup(out, config!, { onProgress })).rejects.toMatchObject({ code: 'DAMAGED' })
    writeFileSync(path, whole)
    await expect(serveNode(config!, silent)).rejects.toThrow(/a restore was interrupted there; empty the folder/)
    await expect(initNode(config!)).rejects.toMatchObject({ code: 'FOLDER_NOT_EMPTY' })
    await expect(restoreBackup(out, config!)).rejects.toMatchObject({ code: 'FOLDER_NOT_EMPTY' })
    rmSync(config!.dataDir, { recursive: true })
    await restoreBackup(out, config!)
    const [restored] = await startAll([config!])
    await restored!.close()
  })
})

import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { StartError } from '../start-error.ts'
import { temporaryFolder } from '../testing/fake-node.ts'
import { checkFreeSpace } from './free-space.ts'
import { startBroker } from './start-broker.ts'

async function refusal(promise: Promise<unknown>): Promise<StartError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof StartError) return error
    throw error
  }
  throw new Error('was not refused')
}

const append = async (url: string, body: string, query = '') => {
  const response = await fetch(`${url}/v1/topics/orders/records${query}`, { method: 'POST', body: Buffer.from(body) })
  return (await response.json()) as { partition: number; offset: number }
}

const read = async (url: string) => {
  const text = await (await fetch(`${url}/v1/topics/orders/records?from=earliest`)).text()
  return text.split('\n').flatMap(line => (line === '' ? [] : [(JSON.parse(line) as { value: string }).value]))
}

describe('startBroker', () => {
  test('serves its topics in memory, and is gone after the block', async () => {
    let url: string
    {
      await using broker = await startBroker({ topics: { orders: { partitions: 3 } } })
      url = broker.url
      expect(await append(url, 'a')).toMatchObject({ offset: 0 })
      expect(await read(url)).toEqual(['a'])
      expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ status: 'ready' })
    }
    await expect(fetch(url)).rejects.toThrow()
  })

  test('two brokers in one process know nothing of each other', async () => {
    await using one = await startBroker({ topics: { orders: {} } })
    await using two = await startBroker({ topics: { orders: {} } })
    await append(one.url, 'a')
    expect(await read(two.url)).toEqual([])
    expect(one.clusterId).not.toBe(two.clusterId)
  })

  test('with a data folder every acknowledged record is there after a restart, at its offset', async () => {
    const dataDir = join(temporaryFolder(), 'data')
    const topics = { orders: { partitions: 1 } }
    for (let round = 0; round < 3; round++) {
      await using broker = await startBroker({ dataDir, topics })
      expect(await append(broker.url, `r${round}`)).toMatchObject({ partition: 0, offset: round })
    }
    await using broker = await startBroker({ dataDir })
    expect(await read(broker.url)).toEqual(['r0', 'r1', 'r2'])
  })

  test('a second process on the same data folder is refused, and the first goes on', async () => {
    const dataDir = join(temporaryFolder(), 'data')
    await using broker = await startBroker({ dataDir, topics: { orders: { partitions: 1 } } })
    const error = await refusal(startBroker({ dataDir }))
    expect(error.code).toBe('FOLDER_IN_USE')
    expect(error.message).toContain(String(process.pid))
    expect(await append(broker.url, 'a')).toMatchObject({ offset: 0 })
  })

  test('a port in use is named', async () => {
    const server = createServer()
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const error = await refusal(startBroker({ port }))
    expect(error.code).toBe('PORT_IN_USE')
    expect(error.message).toContain(String(port))
    server.close()
  })

  test('a folder that cannot be written is named, and its port is free again', async () => {
    const file = join(temporaryFolder(), 'file')
    writeFileSync(file, '')
    for (const dataDir of [file, join(file, 'below')]) {
      const error = await refusal(startBroker({ dataDir }))
      expect(error.code).toBe('FOLDER_NOT_WRITABLE')
      expect(error.message).toContain(dataDir)
      expect(error.message).not.toContain('\n')
    }
  })

  test('a corrupt setting is named', async () => {
    const error = await refusal(startBroker({ settings: { 'limits.readBufferBytesMaxx': 1 } }))
    expect(error.message).toContain('did you mean limits.readBufferBytesMax?')
  })

  test('a topic that cannot be made ends the start', async () => {
    await expect(startBroker({ topics: { 'no spaces': {} } })).rejects.toMatchObject({ code: 'INVALID_NAME' })
    await expect(startBroker({ topics: { orders: { partitions: -1 } } })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })

  test('a full data folder is named with what is free', async () => {
    const dataDir = join(temporaryFolder(), 'not', 'made')
    const error = await refusal(checkFreeSpace(dataDir, Number.MAX_SAFE_INTEGER))
    expect(error.code).toBe('DISK_FULL')
    expect(error.message).toMatch(/the disk is full, .* are free/)
    expect(existsSync(dataDir)).toBe(false)
    await checkFreeSpace(dataDir)
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    expect(StartError.from(full, 'data folder /x')).toMatchObject({ code: 'DISK_FULL' })
  })

  test('live readers hear that the node stops', async () => {
    const broker = await startBroker({ topics: { orders: { partitions: 1 } } })
    const response = await fetch(`${broker.url}/v1/topics/orders/records?live=true`)
    const [text] = await Promise.all([response.text(), broker.close()])
    expect(text).toContain('SHUTTING_DOWN')
    await broker.close()
  })
})

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTopic, ONE_LINE, runMillrace, startCluster, type TestCluster } from './testkit.ts'

const MIB = 1_048_576

describe('what a broker takes', () => {
  let cluster: TestCluster
  let url: string
  let records: string
  beforeAll(async () => {
    cluster = await startCluster()
    url = cluster.urls[0]!
    records = `${url}/v1/topics/sizes/records`
    await createTopic(url, 'sizes')
  })
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  interface ErrorBody {
    readonly error: { readonly code: string; readonly message: string }
  }

  async function refusal(request: string, init?: RequestInit): Promise<ErrorBody['error'] & { status: number }> {
    const response = await fetch(request, init)
    const body = (await response.json()) as ErrorBody
    return { ...body.error, status: response.status }
  }

  it('records up to 1 MiB; a larger one is refused with the limit named', async () => {
    const value = Buffer.alloc(MIB, 'x')
    const stored = await fetch(`${records}?partition=0`, { method: 'POST', body: value })
    expect(stored.status).toBe(200)
    const read = await fetch(`${records}?from=earliest&partition=0`)
    expect((JSON.parse(await read.text()) as { value: string }).value).toBe(String(value))

    const tooLarge = await refusal(records, { method: 'POST', body: Buffer.alloc(MIB + 1, 'x') })
    expect(tooLarge).toMatchObject({ code: 'RECORD_TOO_LARGE', status: 413 })
    expect(tooLarge.message).toMatch(/1[,_]?048[,_]?576/)

    const command = await runMillrace(['append', 'sizes', '--url', url], { input: Buffer.alloc(MIB + 1, 'x') })
    expect(command).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('1048576') })
  })

  it('an unknown topic: a typed error', async () => {
    for (const at of cluster.urls)
      expect(await refusal(`${at}/v1/topics/nothing/records?from=earliest`)).toMatchObject({
        code: 'UNKNOWN_TOPIC',
        status: 404,
      })
    const command = await runMillrace(['tail', 'nothing', '--url', url])
    expect(command).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(ONE_LINE), stdout: '' })
    expect(command.stderr).toContain('nothing')
  })

  it('a bad offset: a typed error with the valid range', async () => {
    const beyond = await refusal(`${records}?from=999999&partition=0`)
    expect(beyond).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', status: 416 })
    expect(beyond.message).toMatch(/\b0\b.*\b\d+\b/)
    expect(await refusal(`${records}?from=-1&partition=0`)).toMatchObject({ code: 'INVALID_ARGUMENT', status: 400 })
    const command = await runMillrace(['tail', 'sizes', '--from', '999999', '--partition', '0', '--url', url])
    expect(command).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(ONE_LINE), stdout: '' })
  })

  it('bad UTF-8 in a name: a typed error with the rule', async () => {
    for (const name of ['%ff%fe', 'a%20b', '%c3%28', 'a%2Fb']) {
      const refused = await refusal(`${url}/v1/topics/${name}/records`, { method: 'POST', body: 'x' })
      expect(refused, name).toMatchObject({ code: 'INVALID_NAME', status: 400 })
      expect(refused.message.length, name).toBeGreaterThan(20)
    }
    expect(await runMillrace(['topics', 'create', 'a b', '--url', url])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(ONE_LINE),
    })
  })
})

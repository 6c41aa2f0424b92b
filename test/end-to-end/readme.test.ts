import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { appendOne, createTopic, hasProgram, startCluster, type TestCluster, waitFor } from './testkit.ts'

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** Lines of README's code blocks that begin with curl, without the comment behind them. */
const README_LINES = README.split('\n')
  .map(line => line.trim())
  .filter(line => line.startsWith('curl '))
  .map(line => line.replace(/\s+#.*$/, ''))

/** What has to work whether README shows it or not. */
const ALWAYS = [
  `curl --data-binary 'hello' localhost:7070/v1/topics/demo/records`,
  `curl -N 'localhost:7070/v1/topics/demo/records?from=earliest&live=true'`,
  `curl -N -H 'Accept: text/event-stream' 'localhost:7070/v1/topics/demo/records?from=earliest&live=true'`,
  `curl 'localhost:7070/v1/topics/demo/records?from=earliest'`,
  `curl -H 'Content-Type: application/json' -d '{"topic":"demo","records":{"records":[{"value":"aGVsbG8="}]}}' localhost:7070/millrace.v1alpha1.LogService/Append`,
  `curl -H 'Content-Type: application/json' -d '{}' localhost:7070/millrace.v1alpha1.TopicService/ListTopics`,
]

describe('Every curl line in README succeeds against each of the three nodes while leaders are spread', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster()
    await createTopic(cluster.urls[0]!, 'demo')
    await cluster.spreadLeaders('demo')
    for (const partition of [0, 1, 2]) await appendOne(cluster.urls[0]!, 'demo', 'first', partition)
  })
  afterAll(() => cluster?.[Symbol.asyncDispose]())

  it('README shows how to append and how to read', () => {
    expect(README_LINES.length).toBeGreaterThanOrEqual(2)
  })

  it.for([...new Set([...README_LINES, ...ALWAYS])])('%s', async (line, { skip }) => {
    if (!hasProgram('curl')) skip('no curl on this machine')
    for (const { layout } of cluster.nodes) {
      const command = line
        .replaceAll('localhost:7070', `localhost:${layout.ports.client}`)
        .replace(/^curl /, 'curl -sS --fail-with-body ')
      await (line.includes('live=true') ? keepsWaiting(command) : succeeds(command))
    }
  })

  interface Started {
    readonly process: ChildProcess
    readonly output: () => string
  }

  function start(command: string): Started {
    let output = ''
    // `exec`, so that the process is curl itself and its end is ours to make.
    const child = spawn('sh', ['-c', `exec ${command}`], { stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    return { process: child, output: () => output }
  }

  async function succeeds(command: string): Promise<void> {
    const { process, output } = start(command)
    const exitCode = await new Promise(resolve => process.once('close', resolve))
    expect(exitCode, `${command}\n${output()}`).toBe(0)
    expect(output(), command).not.toBe('')
  }

  /** A live read gives what is there, then what is appended, and goes on waiting. */
  async function keepsWaiting(command: string): Promise<void> {
    const { process, output } = start(command)
    try {
      const mark = `mark ${Math.random()}`
      if (command.includes('from=earliest'))
        await waitFor(() => output().includes('first'), {
          what: `records of ${command}: ${output()}`,
          timeoutMs: 10_000,
        })
      await waitFor(
        async () => {
          await appendOne(cluster.urls[0]!, 'demo', mark, 1)
          return output().includes(mark)
        },
        { what: `a new record in ${command}`, timeoutMs: 10_000, everyMs: 200 },
      )
      expect(process.exitCode, output()).toBeNull()
    } finally {
      process.kill('SIGKILL')
    }
  }
})

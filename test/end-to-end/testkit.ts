/** What the end-to-end tests share: the testkit, and the ways in which a test says that a machine does not allow it. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export * from '../../packages/testkit/src/index.ts'

/** Whether a program can be started here. */
export function hasProgram(name: string, ...args: readonly string[]): boolean {
  return spawnSync(name, args.length === 0 ? ['--version'] : args, { stdio: 'ignore' }).error === undefined
}

export const isRoot: boolean = process.getuid?.() === 0

/** Whether a process runs; one that has ended and was not waited for does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** Exactly one line on stderr, as a failing command must leave it. */
export const ONE_LINE: RegExp = /^millrace: [^\n]+\n$/

/** The stored position of a record that is appended over HTTP. */
export interface Stored {
  readonly partition: number
  readonly offset: number
}

/** Makes a topic over HTTP; waits while the cluster has no leader yet. */
export async function createTopic(url: string, name: string, partitions: number = 3): Promise<void> {
  const response = await fetch(`${url}/v1/topics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, partitions, ifNotExists: true }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`topic ${name}: ${response.status} ${text}`)
}

/** Appends one record over HTTP. */
export async function appendOne(url: string, topic: string, value: string, partition?: number): Promise<Stored> {
  const query = partition === undefined ? '' : `?partition=${partition}`
  const response = await fetch(`${url}/v1/topics/${topic}/records${query}`, {
    method: 'POST',
    body: Buffer.from(value),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`append to ${topic}: ${response.status} ${text}`)
  return JSON.parse(text) as Stored
}

/** All records of a topic, read over HTTP as NDJSON. */
export async function readAll(url: string, topic: string): Promise<(Stored & { readonly value: unknown })[]> {
  const response = await fetch(`${url}/v1/topics/${topic}/records?from=earliest`)
  const text = await response.text()
  if (!response.ok) throw new Error(`read of ${topic}: ${response.status} ${text}`)
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Stored & { readonly value: unknown })
}

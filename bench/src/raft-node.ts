/**
 * One group on three processes: entries committed and applied, fdatasync on a majority first, beside what disk, socket
 * and gRPC do by themselves in the same run. Every process shares this machine's cores and its one disk.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { frameBytes } from '@millrace/record'
import { freePorts } from '@millrace/testkit'
import { BareFile } from './log-store/bare-loop.ts'
import { overGrpc, overTcp } from './raft-node/bare-transfer.ts'
import type { RunOrder, RunReport, SinkPorts, StateReport } from './raft-node/messages.ts'
import { NodeProfiles, type Profiled } from './raft-node/node-profiles.ts'
import { grouped } from './statistics.ts'

const ENTRY_BYTES = [100, 1_024, 65_536, 1_048_576]
const IN_FLIGHT = [1, 64, 512]
const NODES = 3
const FULL = { durationMs: 3_000, bytesMax: 192e6, bareMs: 1_000, bareBytes: 128e6 }
const QUICK = { durationMs: 500, bytesMax: 32e6, bareMs: 200, bareBytes: 16e6 }
/** A stream of small messages is slow; what is wanted is its rate. */
const BARE_MESSAGES_MAX = 100_000

interface Bare {
  readonly disk: number
  readonly tcp: number
  readonly grpc: number
}

/** `pnpm bench raft-node [--quick] [--profile]` */
export async function benchRaftNode(args: readonly string[]): Promise<void> {
  const limits = args.includes('--quick') ? QUICK : FULL
  const profiles = args.includes('--profile') ? new NodeProfiles() : undefined
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'))
  const children: ChildProcess[] = []
  const start = (file: string, ...rest: string[]): ChildProcess => {
    const child = fork(new URL(`raft-node/${file}`, import.meta.url), rest, { execArgv: process.execArgv })
    children.push(child)
    return child
  }
  try {
    const sink = start('sink.ts')
    const ports = await heard<SinkPorts>(sink)
    const nodePorts = await freePorts(NODES)
    const nodes = startNodes(nodePorts, folder, start, profiles)
    await Promise.all(nodes.map(node => heard(node)))
    print(['entry', 'in flight', 'entries/s', 'MB/s', 'p50 ms', 'CPU s/GB', 'copies: leader', 'follower'], BARE_TITLES)
    for (const entryBytes of ENTRY_BYTES) {
      const bare = await measureBare(join(folder, 'bare'), ports, entryBytes, limits)
      for (const inFlight of IN_FLIGHT) {
        const order: RunOrder = { type: 'run', entryBytes, inFlight, ...limits }
        print([size(entryBytes), `${inFlight}`, ...(await measureGroup(nodes, order, profiles))], bareCells(bare))
      }
    }
    process.stdout.write(profiles?.text ?? '')
  } finally {
    for (const child of children) child.disconnect()
    await Promise.all(children.map(child => new Promise(resolve => child.once('exit', resolve))))
    await rm(folder, { recursive: true })
  }
}

function startNodes(
  ports: readonly number[],
  folder: string,
  start: (file: string, ...rest: string[]) => ChildProcess,
  profiles: NodeProfiles | undefined,
): ChildProcess[] {
  using _installed = profiles?.install()
  return ports.map((_, i) => start('group-node.ts', `${i + 1}`, join(folder, `${i + 1}`), ...ports.map(String)))
}

const BARE_TITLES = ['disk MB/s', 'TCP MB/s', 'gRPC MB/s']

function bareCells({ disk, tcp, grpc }: Bare): string[] {
  return [disk, tcp, grpc].map(rate => rate.toFixed(1))
}

/** One row; the title row is followed by the ruler. */
function print(cells: readonly string[], more: readonly string[]): void {
  const row = [...cells, ...more]
  process.stdout.write(`| ${row.join(' | ')} |\n`)
  if (more === BARE_TITLES) process.stdout.write(`|${row.map(() => '---|').join('')}\n`)
}

function size(bytes: number): string {
  if (bytes >= 1_048_576) return `${bytes / 1_048_576} MiB`
  return bytes >= 1_024 ? `${bytes / 1_024} KiB` : `${bytes} B`
}

function heard<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`a process of the benchmark ended with ${code}`))
    child.once('exit', ended)
    child.once('message', message => {
      child.off('exit', ended)
      resolve(message as T)
    })
  })
}

function ask<T>(child: ChildProcess, order: object): Promise<T> {
  const answer = heard<T>(child)
  child.send(order)
  return answer
}

async function states(nodes: readonly ChildProcess[]): Promise<StateReport[]> {
  return Promise.all(nodes.map(node => ask<StateReport>(node, { type: 'state' })))
}

async function leaderOf(nodes: readonly ChildProcess[]): Promise<number> {
  for (;;) {
    const leader = (await states(nodes)).findIndex(state => state.leading)
    if (leader >= 0) return leader
    await sleep(50)
  }
}

async function measureGroup(
  nodes: readonly ChildProcess[],
  order: RunOrder,
  profiles: NodeProfiles | undefined,
): Promise<string[]> {
  const at = await leaderOf(nodes)
  const profiled: readonly Profiled[] = [
    { name: 'leader', pid: nodes[at]!.pid! },
    { name: 'follower', pid: nodes[(at + 1) % nodes.length]!.pid! },
  ]
  // Caches, the compiler, the flow-control windows.
  await ask(nodes[at]!, { ...order, durationMs: order.durationMs / 5, bytesMax: order.bytesMax / 5 })
  await states(nodes)
  await profiles?.begin(profiled)
  const { entries, ms, p50Ms } = await ask<RunReport>(nodes[at]!, order)
  await profiles?.end(`${size(order.entryBytes)}, ${order.inFlight} in flight`, profiled, entries)
  // What is acknowledged by one follower may still be on its way to the other.
  await sleep(100)
  const after = await states(nodes)
  const leader = after[at]!
  const payload = entries * order.entryBytes
  // Of small entries the header of the frame is the larger part.
  const framed = entries * frameBytes(order.entryBytes)
  const onLeader = (leader.copiedToSeal + leader.copiedToSend) / framed
  const onFollowers = after.filter(state => state !== leader).map(state => state.copiedOnArrival / framed)
  const cpuMs = after.reduce((sum, state) => sum + state.cpuMs, 0)
  return [
    grouped(entries / (ms / 1_000)),
    (payload / 1e3 / ms).toFixed(1),
    p50Ms.toFixed(2),
    (cpuMs / 1_000 / (payload / 1e9)).toFixed(1),
    onLeader.toFixed(2),
    Math.max(...onFollowers).toFixed(2),
  ]
}

async function measureBare(path: string, ports: SinkPorts, bytes: number, limits: typeof FULL): Promise<Bare> {
  const messages = Math.min(BARE_MESSAGES_MAX, Math.ceil(limits.bareBytes / bytes))
  const rate = (ms: number, count = messages): number => (count * bytes) / 1e3 / ms
  const file = new BareFile(path, 'extending', 0)
  const entry = Buffer.alloc(bytes, 97)
  const startedMs = performance.now()
  let writes = 0
  for (; performance.now() - startedMs < limits.bareMs; writes++) await file.append(entry)
  const disk = rate(performance.now() - startedMs, writes)
  file.close()
  await overTcp(ports.tcp, bytes, Math.ceil(messages / 5))
  const tcp = rate(await overTcp(ports.tcp, bytes, messages))
  await overGrpc(ports.grpc, bytes, Math.ceil(messages / 5))
  const grpc = rate(await overGrpc(ports.grpc, bytes, messages))
  return { disk, tcp, grpc }
}

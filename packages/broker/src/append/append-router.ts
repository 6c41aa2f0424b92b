/**
 * Brings a checked batch to the leader of its partition, wherever that is, within a time limit: for HTTP and unary
 * appends, whose callers do not know about leaders.
 *
 * A batch is sent again only after an answer that says `not_stored`: whatever else happens, nothing is stored twice.
 */
import { create } from '@bufbuild/protobuf'
import { AppendRequestSchema, ExpectationSchema, ProducerPositionSchema } from '@millrace/proto'
import { type ErrorCode, MillraceError } from '@millrace/record'
import type { AppendBatch, Appended, TopicInfo } from '@millrace/topics'
import type { BrokerContext } from '../broker-context.ts'
import { notLeader } from '../cluster/not-leader.ts'
import { checkPartition, localPartition } from '../cluster/topic-lookup.ts'
import { sleep } from '../timing.ts'
import { appendCounted } from './partition-append.ts'

export interface AppendCall {
  /** The call came from another node: it is not passed on again. */
  readonly forwarded: boolean
  /** Of `performance.now()`. */
  readonly deadline: number
  readonly signal: AbortSignal
}

/** Answers after which the leader is looked for again. */
const LEADER_MOVED: ReadonlySet<ErrorCode> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'LEADER_STARTING',
  'UNREACHABLE',
  'SHUTTING_DOWN',
])

const RETRY_MIN_MS = 20
const RETRY_MAX_MS = 250

/**
 * Appends one batch.
 *
 * @throws MillraceError as Partition.append; APPEND_TIMEOUT and CANCELLED with the outcome `unknown` after it was handed
 *   to a leader
 */
export function appendToLeader(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  batch: AppendBatch,
  call: AppendCall,
): Promise<Appended> {
  checkPartition(topic, partition)
  return answeredBeforeStop(context, attempts(context, topic, partition, batch, call))
}

/** How long an append under way may take once the node stops: less than its connection has. */
const STOPPING_MS = 300

/** An answer for the caller before its connection ends: after the node began to stop, `unknown` if need be. */
async function answeredBeforeStop<T>({ stopping, nodeId }: BrokerContext, result: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  let timer: NodeJS.Timeout | undefined
  const stop = () => {
    const why = `node ${nodeId} stopped before it knew whether the append is committed`
    timer = setTimeout(() => reject(new MillraceError('SHUTTING_DOWN', why, { outcome: 'unknown' })), STOPPING_MS)
  }
  if (stopping.aborted) stop()
  else stopping.addEventListener('abort', stop, { once: true })
  try {
    return await Promise.race([result, promise])
  } finally {
    clearTimeout(timer)
    stopping.removeEventListener('abort', stop)
  }
}

async function attempts(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  batch: AppendBatch,
  call: AppendCall,
): Promise<Appended> {
  for (let delayMs = RETRY_MIN_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)) {
    try {
      return await attempt(context, topic, partition, batch, call)
    } catch (error) {
      const moved = leaderMoved(error)
      if (moved && context.stopping.aborted) throw stoppingError(context, error)
      if (!moved || call.forwarded || call.signal.aborted || performance.now() + delayMs >= call.deadline) throw error
    }
    await sleep(delayMs, call.signal)
  }
}

/** Only what is known not to be stored is sent again. */
function leaderMoved(error: unknown): boolean {
  return error instanceof MillraceError && error.outcome === 'not_stored' && LEADER_MOVED.has(error.code)
}

function stoppingError({ nodeId }: BrokerContext, cause: unknown): MillraceError {
  return new MillraceError('SHUTTING_DOWN', `node ${nodeId} is stopping; send it again, to any node`, { cause })
}

async function attempt(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  batch: AppendBatch,
  call: AppendCall,
): Promise<Appended> {
  const local = await localPartition(context, topic, partition)
  if (local?.leading) return appendHere(context, local, batch, call)
  const what = `${topic.name}/${partition}`
  const leaderNode = context.topics.leaderOf(topic.name, partition)
  const refusal = notLeader(context.directory, { what, leaderNode, term: local?.term ?? 0 })
  if (call.forwarded) throw refusal
  if (refusal.code === 'NOT_LEADER') return appendThere(context, leaderNode, topic, partition, batch, call)
  const outOfTouch = local === undefined || context.stopping.aborted
  if (outOfTouch) return askReplicas(context, topic, partition, batch, call, refusal)
  throw refusal
}

/** Without a replica here, or with one that has stopped, the leader is unknown; any other knows it and names it. */
async function askReplicas(
  context: BrokerContext,
  topic: TopicInfo,
  partition: number,
  batch: AppendBatch,
  call: AppendCall,
  refusal: MillraceError,
): Promise<Appended> {
  let node = topic.partitions[partition]?.replicas.find(replica => replica.node !== context.nodeId)?.node
  for (let hops = 0; hops < 2 && node !== undefined; hops++) {
    try {
      return await appendThere(context, node, topic, partition, batch, call)
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'NOT_LEADER') throw error
      node = Number(error.details.leaderNode) || undefined
    }
  }
  throw refusal
}

function appendHere(
  context: BrokerContext,
  partition: NonNullable<Awaited<ReturnType<typeof localPartition>>>,
  batch: AppendBatch,
  { deadline, signal }: AppendCall,
): Promise<Appended> {
  return new Promise((resolve, reject) => {
    const giveUp = (error: MillraceError) => {
      settle()
      reject(error)
    }
    const cancelled = () => giveUp(new MillraceError('CANCELLED', 'the caller gave up while the append was under way'))
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', cancelled)
    }
    const timer = setTimeout(
      () => giveUp(new MillraceError('APPEND_TIMEOUT', `no commit within the time limit on node ${context.nodeId}`)),
      Math.max(1, deadline - performance.now()),
    )
    signal.addEventListener('abort', cancelled, { once: true })
    appendCounted(context, partition, batch, result => {
      settle()
      if (result instanceof MillraceError) reject(result)
      else resolve(result)
    })
  })
}

/** How much earlier the other node gives up, so that its answer arrives before this node's limit. */
const ANSWER_MARGIN_MS = 50

async function appendThere(
  context: BrokerContext,
  node: number,
  topic: TopicInfo,
  partition: number,
  batch: AppendBatch,
  { deadline, signal }: AppendCall,
): Promise<Appended> {
  const leftMs = Math.max(1, Math.floor(deadline - performance.now()))
  const request = create(AppendRequestSchema, {
    topic: topic.name,
    partition,
    body: { case: 'recordSet', value: batch.payload },
    timeoutMs: Math.max(1, leftMs - ANSWER_MARGIN_MS),
  })
  if (batch.producer !== undefined) request.producer = create(ProducerPositionSchema, batch.producer)
  if (batch.expect !== undefined) request.expect = wireExpectation(batch.expect)
  const { appended } = await context.forwarder.run(node, clients =>
    clients.log.append(request, { timeoutMs: leftMs, signal }),
  )
  const first = appended[0]
  if (first === undefined) throw new MillraceError('INTERNAL', `node ${node} answered an append without a result`)
  const { baseOffset, count, timestamp, duplicate } = first
  return { baseOffset: Number(baseOffset), count, timestamp: Number(timestamp), duplicate }
}

function wireExpectation(expect: NonNullable<AppendBatch['expect']>) {
  switch (expect.type) {
    case 'partitionOffset':
      return create(ExpectationSchema, { condition: { case: 'partitionOffset', value: BigInt(expect.offset) } })
    case 'keyOffset':
      return create(ExpectationSchema, { condition: { case: 'keyOffset', value: BigInt(expect.offset) } })
    case 'keyAbsent':
      return create(ExpectationSchema, { condition: { case: 'keyAbsent', value: true } })
  }
}

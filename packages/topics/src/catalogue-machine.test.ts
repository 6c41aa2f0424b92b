/** The catalogue: what commands do, what is refused, and that every replica ends up with the same state. */
import { create, toBinary } from '@bufbuild/protobuf'
import { CatalogueCommandSchema } from '@millrace/proto'
import type { Frame, FrameBody } from '@millrace/record'
import { FrameKind } from '@millrace/record'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import type { CatalogueCommand } from './catalogue-command.ts'
import { encodeCommand } from './catalogue-command.ts'
import { CatalogueMachine } from './catalogue-machine.ts'
import type { CatalogueResult } from './catalogue-state.ts'
import { MemoryStateStore } from './memory-state-store.ts'
import { FakeGroup } from './testing/fake-group.ts'
import { resolveConfig, TOPIC_DEFAULTS } from './topic-config.ts'
import type { TopicConfig } from './topics.ts'

const NODES = [1, 2, 3]
/** Group 0 as its leader sees it. */
const FOUNDED = { replicas: NODES.map(node => ({ replica: node, node })), nextReplica: 4 }
const CONFIG: TopicConfig = { ...TOPIC_DEFAULTS }

let group: FakeGroup
let machine: CatalogueMachine
beforeEach(async () => {
  group = await FakeGroup.create(0, log => newMachine(log.base, new MemoryStateStore()))
  machine = group.machine as CatalogueMachine
  for (const node of NODES) run({ type: 'registerNode', node, clientUrl: `http://${node}`, peerAddress: `${node}:1` })
})

function newMachine(base: { index: number }, stateStore: MemoryStateStore): CatalogueMachine {
  const nothing = (): void => undefined
  return new CatalogueMachine({
    base,
    stateStore,
    stored: stateStore.load(0),
    onApplied: nothing,
    onLeadership: nothing,
  })
}

const body = (command: CatalogueCommand): Partial<FrameBody> => ({
  kind: FrameKind.command,
  payload: encodeCommand(command),
})

function run(command: CatalogueCommand): CatalogueResult {
  return machine.apply([group.append(body(command))])[0]!
}

function createTopic(name: string, config: Partial<TopicConfig> = {}, ifNotExists = false): CatalogueResult {
  return run({ type: 'createTopic', name, config: { ...CONFIG, ...config }, ifNotExists, nodes: NODES })
}

const refusal = (result: CatalogueResult): string => (result.type === 'refused' ? result.error.code : result.type)

describe('createTopic', () => {
  test('gives every partition a group of its own and replicas 1 to R on distinct nodes', () => {
    expect(createTopic('orders')).toMatchObject({ type: 'topic', created: true, topic: { name: 'orders', id: 1 } })
    createTopic('events', { partitions: 2, replication: 2 })
    const topics = [...machine.state.topics()].map(t => t.info)
    expect(topics.flatMap(t => t.partitions.map(p => p.group))).toEqual([1, 2, 3, 4, 5])
    for (const { replicas } of topics.flatMap(t => t.partitions)) {
      expect(replicas.map(r => r.replica).sort()).toEqual(replicas.map((_, i) => i + 1))
      expect(new Set(replicas.map(r => r.node)).size).toBe(replicas.length)
    }
  })

  test('rotates the preferred leader over the partitions, and over topics of one partition', () => {
    createTopic('orders')
    for (const name of ['a', 'b', 'c']) createTopic(name, { partitions: 1 })
    const leaders = [...machine.state.topics()].map(t => t.info.partitions.map(p => p.replicas[0]!.node))
    expect(new Set(leaders[0])).toEqual(new Set(NODES))
    expect(new Set(leaders.slice(1).flat())).toEqual(new Set(NODES))
  })

  test('deals replica ids out so that the preferred leader is the first to campaign', () => {
    createTopic('orders', { partitions: 7 })
    createTopic('events', { partitions: 4, replication: 2 })
    for (const { group, replicas } of [...machine.state.topics()].flatMap(t => t.info.partitions)) {
      const ranks = replicas.map(({ replica }) => (replica - 1 + group) % replicas.length)
      expect(ranks).toEqual(replicas.map((_, position) => position))
    }
  })

  test('is repeatable: the same configuration or ifNotExists finds the topic, another one is refused', () => {
    createTopic('orders')
    expect(createTopic('orders')).toMatchObject({ created: false, topic: { id: 1 } })
    expect(createTopic('orders', { partitions: 5 }, true)).toMatchObject({ created: false, topic: { id: 1 } })
    const other = createTopic('orders', { partitions: 5 })
    expect(refusal(other)).toBe('TOPIC_EXISTS')
    expect(other).toMatchObject({ error: { message: expect.stringContaining('3 partitions') } })
  })

  test('on more replicas than registered nodes is refused with both numbers', () => {
    const result = createTopic('orders', { replication: 4 })
    expect(result).toMatchObject({ error: { code: 'INVALID_ARGUMENT', message: expect.stringMatching(/4.*3/) } })
  })

  test('remembers the entry that its groups are born from', () => {
    const frame = group.append(
      body({ type: 'createTopic', name: 'a', config: CONFIG, ifNotExists: false, nodes: NODES }),
    )
    machine.apply([frame])
    expect(machine.state.topic('a')).toMatchObject({
      createIndex: frame.header.index,
      createTimestamp: frame.header.timestamp,
    })
  })
})

test('ids are never used again, even after the topic that had them is gone', () => {
  createTopic('orders')
  expect(run({ type: 'deleteTopic', name: 'orders' })).toEqual({ type: 'deleted' })
  expect(createTopic('orders')).toMatchObject({ created: true, topic: { id: 2, partitions: [{ group: 4 }, {}, {}] } })
  expect([...machine.state.deleted()]).toMatchObject([{ id: 1, firstGroup: 1, partitions: 3 }])
  expect(refusal(run({ type: 'deleteTopic', name: 'nothing' }))).toBe('UNKNOWN_TOPIC')
})

describe('forgetNodes', () => {
  const placesOf = (name: string) =>
    machine.state.topic(name)!.info.partitions.map(({ replicas }) => replicas.map(({ node }) => node).join())

  test('strikes the nodes from the places of all partitions, and new topics do without them', () => {
    createTopic('orders', { replication: 3 })
    const own = machine.state.topic('orders')!.info.partitions.map(p => p.replicas.find(({ node }) => node === 2))
    expect(run({ type: 'forgetNodes', nodes: [1, 3, 7] })).toEqual({ type: 'forgotten' })
    expect(machine.state.nodes().map(({ node }) => node)).toEqual([2])
    expect(machine.state.topic('orders')!.info.partitions.map(p => p.replicas)).toEqual(own.map(place => [place]))
    expect(machine.state.topicById(1)).toBe(machine.state.topic('orders'))
    createTopic('events', { replication: 1 })
    expect(placesOf('events')).toEqual(['2', '2', '2'])
  })

  test('leaves the places of a partition that had no replica elsewhere: nothing is left of it', () => {
    createTopic('orders', { replication: 1 })
    const before = placesOf('orders')
    expect(new Set(before)).toEqual(new Set(['1', '2', '3']))
    run({ type: 'forgetNodes', nodes: [1, 3] })
    expect(placesOf('orders')).toEqual(before)
  })
})

test('placeReplicas moves the groups that it names, and no others', () => {
  createTopic('orders', { replication: 2 })
  const [first, second] = machine.state.topic('orders')!.info.partitions
  const replicas = [
    { replica: 5, node: 9 },
    { replica: 4, node: 8 },
  ]
  expect(run({ type: 'placeReplicas', groups: [{ group: second!.group, replicas }] })).toEqual({ type: 'placed' })
  const after = machine.state.topic('orders')!.info.partitions
  expect(after[0]).toBe(first)
  expect(after[1]).toEqual({ ...second, replicas })
})

describe('rules of the leader', () => {
  test('defaults: 3 partitions, replication min(3, nodes), 7 days', () => {
    const resolved = { partitions: 3, replication: 3, retentionMs: 604_800_000, retentionBytes: 0 }
    expect(resolveConfig({ name: 'a', ifNotExists: false }, 5)).toEqual(resolved)
    expect(resolveConfig({ name: 'a', ifNotExists: false }, 1).replication).toBe(1)
    const given = { name: 'a', ifNotExists: false, config: { partitions: 1, retentionMs: 0 } }
    expect(resolveConfig(given, 3)).toEqual({ ...resolved, partitions: 1, retentionMs: 0 })
  })

  test.each([
    ['partitions', { partitions: 0 }, /partitions 0: must be 1 to 1024/],
    ['partitions', { partitions: 1_025 }, /partitions 1025: must be 1 to 1024/],
    ['replication', { replication: 4 }, /replication 4: must be 1 to 3/],
    ['retentionMs', { retentionMs: -1 }, /retentionMs -1/],
    ['retentionBytes', { retentionBytes: 1.5 }, /retentionBytes 1.5/],
  ])('%s out of range is refused with value and limit', (_setting, config, message) => {
    expect(() => resolveConfig({ name: 'a', ifNotExists: false, config }, 3)).toThrow(message)
  })

  test('a name that breaks the rule is refused', () => {
    expect(() => resolveConfig({ name: 'a/b', ifNotExists: false }, 3)).toThrow(
      expect.objectContaining({ code: 'INVALID_NAME' }),
    )
  })
})

describe('halts', () => {
  test.each([
    ['an unknown command', Uint8Array.of(0xfa, 0x07, 0)],
    ['something unknown beside a known command', Uint8Array.of(0x12, 3, 0x0a, 1, 0x61, 0x7a, 1, 0x62)],
    ['an unknown field of a known command', Uint8Array.of(0x12, 6, 0x0a, 1, 0x61, 0x7a, 1, 0x62)],
    [
      'a command of a later version',
      toBinary(
        CatalogueCommandSchema,
        create(CatalogueCommandSchema, { command: { case: 'alterTopic', value: { name: 'a' } } }),
      ),
    ],
  ])('on %s, which is never ignored', (_name, payload) => {
    expect(() => machine.apply([group.append({ kind: FrameKind.command, payload })])).toThrow(/newer software/)
  })

  test('on an entry that is no command', () => {
    expect(() => machine.apply([group.append({ kind: FrameKind.records, recordCount: 1 })])).toThrow(/newer software/)
  })
})

test('restart from any checkpoint and replay gives the same state', async () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd')
  const command: fc.Arbitrary<CatalogueCommand> = fc.oneof(
    fc.record({
      type: fc.constant('createTopic' as const),
      name,
      config: fc.integer({ min: 1, max: 4 }).map(n => ({ ...CONFIG, partitions: n, replication: n })),
      ifNotExists: fc.boolean(),
      nodes: fc.constant([1, 2, 3, 4]),
    }),
    fc.record({ type: fc.constant('deleteTopic' as const), name }),
    fc.record({
      type: fc.constant('registerNode' as const),
      node: fc.integer({ min: 1, max: 5 }),
      clientUrl: fc.constantFrom('http://x', 'http://y'),
      peerAddress: fc.constant('z:1'),
    }),
    fc.record({
      type: fc.constant('forgetNodes' as const),
      nodes: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }),
    }),
    fc.record({
      type: fc.constant('placeReplicas' as const),
      groups: fc.array(
        fc.record({
          group: fc.integer({ min: 1, max: 6 }),
          replicas: fc.array(
            fc.record({ replica: fc.integer({ min: 1, max: 9 }), node: fc.integer({ min: 1, max: 5 }) }),
            {
              minLength: 1,
              maxLength: 3,
            },
          ),
        }),
        { maxLength: 3 },
      ),
    }),
    fc.record({
      type: fc.constant('admitNode' as const),
      node: fc.integer({ min: 1, max: 5 }),
      replace: fc.boolean(),
      catalogue: fc.constant(FOUNDED),
    }),
    fc.record({
      type: fc.constant('claimNode' as const),
      node: fc.integer({ min: 1, max: 5 }),
      folder: fc.constantFrom('f', 'g'),
      clientUrl: fc.constant('http://x'),
      peerAddress: fc.constant('z:1'),
    }),
    fc.record({
      type: fc.constant('removeNode' as const),
      node: fc.integer({ min: 1, max: 5 }),
      catalogue: fc.constant(FOUNDED),
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 30 }), fc.nat(30), fc.nat(30), async (commands, one, two) => {
      const source = await FakeGroup.create(0, log => newMachine(log.base, new MemoryStateStore()))
      const frames: Frame[] = commands.map(c => source.append(body(c)))
      const whole = source.machine as CatalogueMachine
      const results = whole.apply(frames)
      const store = new MemoryStateStore()
      const first = newMachine(source.log.base, store)
      const [early, late] = [Math.min(one, two), Math.max(one, two)]
      first.apply(frames.slice(0, early))
      await first.checkpoint()
      first.apply(frames.slice(early, late))
      await first.checkpoint()
      const again = newMachine(source.log.base, store.crash())
      const repeated = again.apply(frames)
      expect(again.stateHash()).toBe(whole.stateHash())
      expect(repeated.slice(late)).toEqual(results.slice(late))
      expect([...again.state.topics()]).toEqual([...whole.state.topics()])
      expect(again.state.members.catalogue).toEqual(whole.state.members.catalogue)
      for (const { info, births } of whole.state.topics()) {
        for (const { partition, replicas } of info.partitions) {
          const next = births.get(partition)?.nextReplica ?? info.config.replication + 1
          expect(Math.max(...replicas.map(({ replica }) => replica))).toBeLessThan(next)
        }
      }
    }),
    { numRuns: 100 },
  )
})

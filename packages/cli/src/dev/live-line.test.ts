import { create } from '@bufbuild/protobuf'
import { NodeStatusResponseSchema } from '@millrace/proto'
import { describe, expect, it } from 'vitest'
import { leadersPerNode, type NodeReport, summarize } from '../cluster/cluster-summary.ts'
import { lagText } from '../cluster/lag-text.ts'
import { stateText, trafficText } from './live-line.ts'

interface Replica {
  readonly topic: string
  readonly partition: number
  readonly role: string
  readonly term?: bigint
  readonly highWatermark?: bigint
  readonly followers?: {
    node: number
    lag: bigint
    recentlyActive: boolean
    snapshot?: { index: bigint; bytes: bigint; bytesTotal: bigint }
  }[]
}

function report(node: number, replicas: readonly Replica[]): NodeReport {
  const status = create(NodeStatusResponseSchema, {
    node,
    replicas: replicas.map(replica => ({ term: 1n, ...replica, group: 1n })),
    disk: { usedBytes: 1024n, freeBytes: BigInt(node) * 1024n },
  })
  return { node, url: `http://127.0.0.1:${7069 + node}`, status }
}

const DOWN: NodeReport = { node: 3, url: 'http://127.0.0.1:7072', status: undefined }

describe('summarize', () => {
  it('adds up nodes, leaders, records and disks', () => {
    const summary = summarize([
      report(1, [
        { topic: '', partition: 0, role: 'leader' },
        { topic: 'demo', partition: 0, role: 'leader', highWatermark: 10n },
        { topic: 'demo', partition: 1, role: 'follower', highWatermark: 4n },
      ]),
      report(2, [
        { topic: 'demo', partition: 0, role: 'follower', highWatermark: 9n },
        { topic: 'demo', partition: 1, role: 'leader', highWatermark: 5n },
      ]),
      DOWN,
    ])
    expect(summary).toMatchObject({ records: 15, usedBytes: 2048, freeBytes: 1024 })
    expect([...leadersPerNode(summary)]).toEqual([
      [1, 1],
      [2, 1],
      [3, 0],
    ])
    expect(stateText(summary)).toBe('nodes 2/3 · leaders 1:1 2:1 3:0')
    expect(trafficText(summary, 12.4)).toBe('15 records · 12/s · disk 2.0 KiB, 1.0 KiB free')
  })

  it('believes the leader of the higher term', () => {
    const summary = summarize([
      report(1, [{ topic: 'demo', partition: 0, role: 'leader', term: 3n }]),
      report(2, [{ topic: 'demo', partition: 0, role: 'leader', term: 4n }]),
    ])
    expect(summary.partitions[0]).toMatchObject({ leader: 2, term: 4 })
  })

  it('calls a partition under-replicated that has no leader, or a replica far behind or away', () => {
    const follower = (lag: bigint, recentlyActive: boolean): Replica[] => [
      { topic: 'demo', partition: 0, role: 'leader', followers: [{ node: 2, lag, recentlyActive }] },
    ]
    const judge = (replicas: readonly Replica[]): boolean =>
      summarize([report(1, replicas)]).partitions[0]!.underReplicated
    expect(judge(follower(3n, true))).toBe(false)
    expect(judge(follower(1000n, true))).toBe(true)
    expect(judge(follower(0n, false))).toBe(true)
    expect(judge([{ topic: 'demo', partition: 0, role: 'follower' }])).toBe(true)
  })

  it('says how much of a snapshot has arrived', () => {
    const snapshot = { index: 90n, bytes: 300_000n, bytesTotal: 1_000_000n }
    const followers = [
      { node: 2, lag: 1234n, recentlyActive: true, snapshot },
      { node: 3, lag: 5n, recentlyActive: true },
    ]
    const { partitions } = summarize([report(1, [{ topic: 'demo', partition: 0, role: 'leader', followers }])])
    expect(lagText(partitions[0]!)).toBe('node 2 by 1,234 (snapshot: 30 % of 977 KiB), node 3 by 5')
  })
})

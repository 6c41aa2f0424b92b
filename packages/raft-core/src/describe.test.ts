import { describe, expect, it } from 'vitest'
import {
  describeConfiguration,
  describeInput,
  describeMessage,
  describeOutput,
  describeStatus,
  describeStepResult,
  describeTrace,
} from './describe.ts'
import { TestCluster } from './testing/test-cluster.ts'
import type { TraceEvent } from './trace.ts'

describe('describe functions', () => {
  it('name every part of a configuration that is there', () => {
    expect(
      describeConfiguration({
        voters: [1, 4],
        votersOutgoing: [1, 2],
        learners: [3],
        learnersNext: [2],
        autoLeave: true,
      }),
    ).toBe('voters(1,4)&(1,2) learners(3) learnersNext(2) autoLeave')
  })

  it('tell messages apart', () => {
    expect(describeMessage({ type: 'vote', from: 1, to: 2, term: 5, lastIndex: 9, lastTerm: 4, transfer: true })).toBe(
      '1→2 vote term 5 last 4/9 transfer',
    )
    expect(
      describeMessage({
        type: 'appendResponse',
        from: 2,
        to: 1,
        term: 5,
        index: 9,
        rejected: true,
        hintIndex: 3,
        hintTerm: 2,
        lostTail: true,
      }),
    ).toBe('2→1 appendResponse term 5 refused 9 hint 2/3 lost its tail')
  })

  it('describe whatever a cluster says, does and is', () => {
    const trace: TraceEvent[] = []
    const cluster = new TestCluster([1, 2, 3], { blank: [4], config: { trace: event => trace.push(event) } })
    const leader = cluster.elect(1)
    const input = { type: 'proposeConfigChange', change: { steps: [], transition: 'auto' } } as const
    expect(describeInput(input)).toBe('propose leaveJoint (auto)')
    expect(describeStepResult(leader.step(input))).toMatch(/^dropped \(invalidConfigChange, leader 1\): /)
    expect(describeStepResult(cluster.propose(1, 'a'))).toBe('accepted at 2/3')
    leader.step({ type: 'readIndex', context: 4 })
    leader.drain()
    const output = describeOutput(leader.lastOutput!)
    expect(output.split('\n')).toContain('1→2 append term 2 prev 2/2 commit 2 entries 2/3 normal 1B')
    expect(output).toMatch(/^append sync entries 2\/3 normal 1B then \[/m)
    expect(describeStatus(leader.group.status())).toMatch(
      /^1 leader term 2 vote 1 leader 1 log \(1, 3\] durable 2 commit 2 applied 2 voters\(1,2,3\)@1 peers\[1 replicate/,
    )
    expect(trace.map(describeTrace)).toContain('1 becameLeader term 2')
  })
})

import { describe, expect, it } from 'vitest'
import { parseFile } from '../data-driven.ts'
import { interactionScript } from './commands.ts'

/** Runs commands, each `command arguments` with input lines after it, and returns what the last one prints. */
function run(...commands: string[]): string {
  const script = interactionScript()
  let last = ''
  for (const command of commands) {
    const [directive] = parseFile(`${command}\n----\n`)
    last = script(directive!)
  }
  return last
}

const THREE = 'add-nodes 3 voters=(1,2,3) index=10'
const LED = ['log-level none', THREE, 'campaign 1', 'stabilize', 'log-level debug']

describe('interaction commands', () => {
  it('print nothing but ok at the quiet level, and errors at any', () => {
    expect(run('log-level none', THREE, 'campaign 1', 'process-ready 1')).toBe('ok')
    expect(run('log-level none', THREE, 'propose 1 x')).toBe('raft proposal dropped')
    expect(run('log-level loud')).toMatch(/^log levels must be either of/)
  })

  it('refuse a snapshot at index 1, unknown commands and unknown steps', () => {
    expect(run('add-nodes 1 voters=(1) index=1')).toBe('index must be specified as > 1 due to bootstrap')
    expect(run('dance 1')).toBe('unknown command')
    expect(run(...LED, 'propose-conf-change 1\nx3')).toBe('unknown input: x3')
    expect(run(...LED, 'propose-conf-change 1 v1=true\nv4 v5')).toMatch(/^v1 conf change can only have one/)
    expect(run(...LED, 'propose-conf-change 1 transition=odd\nv4')).toBe('unknown transition odd')
  })

  it('say when there is nothing to do', () => {
    expect(run(THREE, 'process-ready 1')).toBe('<empty Ready>')
    expect(run(THREE, 'deliver-msgs 1')).toBe('no messages')
    expect(run(THREE, 'process-append-thread 1')).toBe('no append work to perform')
    expect(run(THREE, 'process-apply-thread 1')).toBe('no apply work to perform')
    expect(run(THREE, 'raft-log 1')).toBe('log is empty: first index=11, last index=10')
  })

  it('head the parts of several nodes', () => {
    expect(run(THREE, 'process-append-thread 1 2')).toBe(
      [
        '> 1 processing append thread',
        '  no append work to perform',
        '> 2 processing append thread',
        '  no append work to perform',
      ].join('\n'),
    )
  })

  it('deliver by type and drop', () => {
    const sent = [...LED, 'propose 1 a', 'tick-heartbeat 1', 'process-ready 1']
    expect(run(...sent, 'deliver-msgs 2 type=MsgHeartbeat')).toBe('1->2 MsgHeartbeat Term:1 Log:0/0 Commit:11')
    expect(run(...sent, 'deliver-msgs drop=(2,3) type=MsgApp')).toBe(
      [
        'dropped: 1->2 MsgApp Term:1 Log:1/11 Commit:11 Entries:[1/12 EntryNormal "a"]',
        'dropped: 1->3 MsgApp Term:1 Log:1/11 Commit:11 Entries:[1/12 EntryNormal "a"]',
      ].join('\n'),
    )
    expect(run(...sent, 'deliver-msgs 2 drop=2')).toBe("can't both deliver and drop msgs to 2")
  })

  it('compact the log of a node and send its newest snapshot by hand', () => {
    const filled = [...LED, 'propose 1 a', 'propose 1 b', 'stabilize']
    expect(run(...filled, 'compact 1 12')).toBe('1/13 EntryNormal "b"')
    expect(run(...filled, 'send-snapshot 1 3')).toBe(
      [
        '1->3 MsgSnap Term:1 Log:0/0',
        '  Snapshot: Index:13 Term:1 ConfState:Voters:[1 2 3] VotersOutgoing:[] Learners:[] LearnersNext:[] AutoLeave:false',
      ].join('\n'),
    )
  })

  it('pass proposals and requests for a transfer on to the leader', () => {
    expect(run(...LED, 'propose 2 a', 'process-ready 2')).toBe(
      ['Ready MustSync=false:', 'Messages:', '2->1 MsgProp Term:0 Log:0/0 Entries:[0/0 EntryNormal "a"]'].join('\n'),
    )
    expect(run(...LED, 'transfer-leadership from=2 to=3', 'process-ready 2')).toBe(
      ['Ready MustSync=false:', 'Messages:', '3->1 MsgTransferLeader Term:1 Log:0/0'].join('\n'),
    )
  })

  it('replace a change that cannot be now by an empty entry', () => {
    const twice = [...LED, 'propose-conf-change 1\nl4', 'propose-conf-change 1\nl5', 'process-ready 1']
    expect(
      run(...twice)
        .split('\n')
        .slice(0, 4),
    ).toEqual(['Ready MustSync=true:', 'Entries:', '1/12 EntryConfChangeV2 l4', '1/13 EntryNormal ""'])
  })

  it('step a removed leader down where a node is told to', () => {
    const removed = [
      'log-level none',
      `${THREE} step-down-on-removal=true`,
      'campaign 1',
      'stabilize',
      'propose-conf-change 1 v1=true\nr1',
      'stabilize',
      'log-level debug',
      'raft-state',
    ]
    expect(run(...removed).split('\n')[0]).toBe('1: StateFollower (Non-Voter) Term:1 Lead:0')
  })

  it('keep append and apply threads apart with async storage writes', () => {
    const started = [`${THREE} async-storage-writes=true`, 'campaign 1', 'process-ready 1']
    expect(run(...started, 'process-append-thread 1')).toBe(
      [
        'Processing:',
        '1->AppendThread MsgStorageAppend Term:1 Log:0/0 Commit:10 Vote:1',
        'Responses:',
        '1->1 MsgVoteResp Term:1 Log:0/0',
      ].join('\n'),
    )
  })

  it('never drop what a node says to itself', () => {
    const queued = [`${THREE} async-storage-writes=true`, 'campaign 1', 'process-ready 1', 'process-append-thread 1']
    expect(run(...queued, 'deliver-msgs drop=(1)')).toBe('no messages')
    expect(run(...queued, 'deliver-msgs drop=(1)', 'deliver-msgs 1')).toBe('1->1 MsgVoteResp Term:1 Log:0/0')
  })

  it('let a node campaign at the timeout that was set', () => {
    const due = [THREE, 'set-randomized-election-timeout 2 timeout=4', 'tick-election 2', 'raft-state']
    expect(run(...due).split('\n')[1]).toBe('2: StateFollower (Voter) Term:0 Lead:0')
    expect(run(...due.slice(0, 3), 'tick-heartbeat 2', 'raft-state').split('\n')[1]).toBe(
      '2: StateCandidate (Voter) Term:1 Lead:0',
    )
  })
})

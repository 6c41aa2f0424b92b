/** What may happen to three processes and to what is between them. Each begins and ends with a leader that all agree about. */
import { setTimeout as sleep } from 'node:timers/promises'
import { NODES } from './kv-processes.ts'
import type { KeyValueRun } from './kv-run.ts'

export type Disturbance = (run: KeyValueRun) => Promise<void>

/** For some requests over connections that are open. */
const SENDING_MS = 50

/** Takes the leader away until the others have replaced it and have written; then it comes back. */
function withoutLeader(
  take: (run: KeyValueRun, leader: number) => unknown,
  giveBack: (run: KeyValueRun, leader: number) => unknown,
): Disturbance {
  return async run => {
    const leader = await run.processes.leaderOf(NODES)
    await take(run, leader)
    await run.processes.leaderOf(NODES.filter(id => id !== leader))
    await run.progress()
    await giveBack(run, leader)
    await run.processes.leaderOf(NODES)
  }
}

/** Takes a follower away while the leader goes on. */
function withoutFollower(
  take: (run: KeyValueRun, follower: number) => unknown,
  giveBack: (run: KeyValueRun, follower: number) => unknown,
): Disturbance {
  return async run => {
    const leader = await run.processes.leaderOf(NODES)
    const follower = NODES.find(id => id !== leader)!
    await take(run, follower)
    await run.progress()
    await giveBack(run, follower)
  }
}

const open = ({ processes }: KeyValueRun, id: number): void => processes.links(id, 'open')

async function standStill(run: KeyValueRun, id: number): Promise<void> {
  await run.readsOf(id)
  run.processes.signal(id, 'SIGSTOP')
}

/** What was asked of it meanwhile lies there when it goes on: it must not answer with what it held when it stopped. */
async function goOn(run: KeyValueRun, id: number): Promise<void> {
  const reads = run.readsOf(id)
  await sleep(SENDING_MS)
  run.processes.signal(id, 'SIGCONT')
  await reads
}

const startAgain = ({ processes }: KeyValueRun, id: number): void => processes.start(id)

export const DISTURBANCES = {
  'the leader hears nothing and is not heard, and its connections stay': withoutLeader(
    ({ processes }, id) => processes.links(id, 'stalled'),
    open,
  ),
  'the leader is heard and hears nothing': withoutLeader(({ processes }, id) => processes.links(id, 'deaf'), open),
  'the leader stands still and goes on': withoutLeader(standStill, goOn),
  'the leader is killed': withoutLeader(({ processes }, id) => processes.kill(id), startAgain),
  'a follower is cut off': withoutFollower(({ processes }, id) => processes.links(id, 'cut'), open),
  'a follower stands still and goes on': withoutFollower(standStill, goOn),
  'all are killed': async run => {
    await Promise.all(NODES.map(id => run.processes.kill(id)))
    for (const id of NODES) startAgain(run, id)
    await run.progress()
    await run.processes.leaderOf(NODES)
  },
} satisfies Readonly<Record<string, Disturbance>>

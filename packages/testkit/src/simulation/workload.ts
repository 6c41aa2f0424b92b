/** What clients and operators do, but for the membership: proposals, reads, transfers, campaigns, compaction. */
import type { OperationName } from './coverage.ts'
import type { RandomStream } from './random-stream.ts'
import type { Replica } from './replica.ts'
import type { SimGroup } from './sim-group.ts'
import type { World } from './world.ts'

type Operation = (world: World, replica: Replica, random: RandomStream) => boolean

interface Routine {
  readonly everyUs: (world: World) => number
  readonly run: Operation
}

const ROUTINES: Partial<Record<OperationName, Routine>> = {
  propose: { everyUs: world => world.plan.proposeEveryUs, run: propose },
  proposeBurst: { everyUs: world => world.plan.proposeEveryUs * 20, run: proposeBurst },
  read: { everyUs: world => world.plan.proposeEveryUs * 3, run: read },
  transfer: { everyUs: () => 2_000_000, run: transfer },
  campaign: { everyUs: () => 4_000_000, run: (_, replica) => told(replica, { type: 'campaign' }) },
  forgetLeader: { everyUs: () => 4_000_000, run: (_, replica) => told(replica, { type: 'forgetLeader' }) },
  compact: { everyUs: () => 500_000, run: compact },
  offerSnapshot: { everyUs: () => 2_000_000, run: offerSnapshot },
}

/** Starts every operation that the seed has, for one group. They end with the world's faulty time. */
export function startWorkload(world: World, group: SimGroup, random: RandomStream): void {
  for (const [name, routine] of Object.entries(ROUTINES) as [OperationName, Routine][]) {
    if (world.plan.operations.has(name)) repeat(world, group, name, routine, random)
  }
}

function repeat(world: World, group: SimGroup, name: OperationName, routine: Routine, random: RandomStream): void {
  world.queue.after(random.exponential(routine.everyUs(world)), () => {
    if (!world.faulty()) return
    const replica = someReplica(group, random)
    if (replica !== undefined) {
      replica.inTurn(() => {
        if (routine.run(world, replica, random)) world.coverage.hit(name)
      })
    }
    repeat(world, group, name, routine, random)
  })
}

/** Mostly one that leads, at times any: clients go by what they last heard. */
function someReplica(group: SimGroup, random: RandomStream): Replica | undefined {
  const running = group.running()
  if (running.length === 0) return undefined
  const leaders = running.filter(replica => replica.status.role === 'leader')
  return leaders.length > 0 && random.chance(0.7) ? random.pick(leaders) : random.pick(running)
}

function propose(_: World, replica: Replica): boolean {
  replica.clients.propose(1)
  return true
}

function proposeBurst(_: World, replica: Replica, random: RandomStream): boolean {
  replica.clients.propose(random.between(2, 30))
  return true
}

function read(_: World, replica: Replica): boolean {
  replica.clients.read()
  return true
}

function transfer(_: World, replica: Replica, random: RandomStream): boolean {
  const { voters } = replica.status.configuration
  if (voters.length === 0) return false
  replica.step({ type: 'transferLeader', target: random.pick(voters) })
  return true
}

function told(replica: Replica, input: { readonly type: 'campaign' | 'forgetLeader' }): boolean {
  replica.step(input)
  return true
}

function compact(world: World, replica: Replica, random: RandomStream): boolean {
  const index = replica.status.applied - random.int(world.plan.trailingEntries + 1)
  if (index <= replica.disk.view.base.index || index > replica.machine.state.index) return false
  replica.trim(index)
  return true
}

function offerSnapshot(_: World, replica: Replica): boolean {
  replica.offerSnapshot()
  return true
}

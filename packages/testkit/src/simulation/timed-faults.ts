/** The faults that strike from time to time. Each has a random stream of its own, and says whether it did anything. */
import type { FaultName } from './coverage.ts'
import { survives } from './damage.ts'
import { RandomStream } from './random-stream.ts'
import type { Replica } from './replica.ts'
import type { SimGroup } from './sim-group.ts'
import type { SimNode } from './sim-node.ts'
import type { World } from './world.ts'

/** What faults work on. */
export interface Scene {
  readonly world: World
  readonly nodes: readonly SimNode[]
  readonly groups: readonly SimGroup[]
}

/** More than the mark takes to be written. */
const MARK_US = 2_000_000

type Fault = (scene: Scene, random: RandomStream) => boolean

const TIMED: Partial<Record<FaultName, Fault>> = {
  clog,
  partition: (scene, random) => split(scene, random, false),
  oneWayPartition: (scene, random) => split(scene, random, true),
  unevenPartition,
  isolatedLeader,
  halfOpen,
  crash,
  cleanRestart,
  powerLoss,
  pause,
  slowDisk,
  diskStall,
  syncError,
  diskFull,
  lostTail,
  bitRot,
  wipe,
}

/** Starts every fault that the seed has. They end with the world's faulty time. */
export function startFaults(scene: Scene): void {
  const { plan } = scene.world
  for (const [name, fault] of Object.entries(TIMED) as [FaultName, Fault][]) {
    if (plan.faults.has(name)) repeat(scene, name, fault, new RandomStream(plan.seed, `fault ${name}`))
  }
}

function repeat(scene: Scene, name: FaultName, fault: Fault, random: RandomStream): void {
  const { queue, plan, coverage, faulty } = scene.world
  queue.after(random.exponential(plan.faultEveryUs), () => {
    if (!faulty()) return
    if (fault(scene, random)) coverage.hit(name)
    repeat(scene, name, fault, random)
  })
}

/** Up to a few election timeouts, now and then much less. */
function duration({ world }: Scene, random: RandomStream): number {
  const electionUs = world.plan.tickUs * world.plan.electionTicks
  return random.exponential(random.pick([electionUs / 10, electionUs, 3 * electionUs]))
}

function clog(scene: Scene, random: RandomStream): boolean {
  const link = someLink(scene, random)
  if (link === undefined) return false
  scene.world.network.clog(link[0].id, link[1].id, scene.world.queue.nowUs + duration(scene, random))
  return true
}

function split(scene: Scene, random: RandomStream, oneWay: boolean): boolean {
  if (scene.nodes.length < 2) return false
  const nodes = random.shuffled(scene.nodes)
  const size = random.between(1, nodes.length - 1)
  const links = nodes.slice(0, size).flatMap(a => nodes.slice(size).map(b => [a, b] as const))
  cut(scene, random, oneWay ? links : bothWays(links), random.chance(0.5))
  return true
}

/** Not two halves: a bridge that sees both sides, or a ring in which everybody misses somebody. */
function unevenPartition(scene: Scene, random: RandomStream): boolean {
  const [bridge, ...rest] = random.shuffled(scene.nodes)
  if (bridge === undefined || rest.length < 2) return false
  if (random.chance(0.5)) {
    const half = Math.ceil(rest.length / 2)
    const links = rest.slice(0, half).flatMap(a => rest.slice(half).map(b => [a, b] as const))
    cut(scene, random, bothWays(links), random.chance(0.5))
  } else {
    cut(
      scene,
      random,
      [bridge, ...rest].map((node, i, all) => [node, all[(i + 1) % all.length] ?? node] as const),
      true,
    )
  }
  return true
}

/** A leader that cannot be heard, cannot hear, or neither: it goes on for a while, and may be replaced behind its back. */
function isolatedLeader(scene: Scene, random: RandomStream): boolean {
  const leader = random.pick(scene.groups).leader()
  const others = scene.nodes.filter(node => node !== leader?.node)
  if (leader === undefined || others.length === 0) return false
  const out = others.map(node => [leader.node, node] as const)
  const back = others.map(node => [node, leader.node] as const)
  // At times one follower stays in touch, and learns what the others never will.
  const spared = random.chance(0.5) ? 1 : 0
  cut(scene, random, random.pick([out, back, bothWays(out)]).slice(spared), random.chance(0.7))
  return true
}

function halfOpen(scene: Scene, random: RandomStream): boolean {
  const link = someLink(scene, random)
  if (link !== undefined) cut(scene, random, [link], true)
  return link !== undefined
}

type Links = readonly (readonly [SimNode, SimNode])[]

function bothWays(links: Links): Links {
  return links.flatMap(([a, b]) => [[a, b] as const, [b, a] as const])
}

function someLink(scene: Scene, random: RandomStream): readonly [SimNode, SimNode] | undefined {
  const [from, to] = random.shuffled(scene.nodes)
  return from === undefined || to === undefined ? undefined : [from, to]
}

function cut(scene: Scene, random: RandomStream, links: Links, silent: boolean): void {
  const { network, queue } = scene.world
  for (const [from, to] of links) network.cut(from.id, to.id, silent)
  queue.after(duration(scene, random), () => {
    for (const [from, to] of links) network.mend(from.id, to.id, silent)
  })
}

function crash(scene: Scene, random: RandomStream): boolean {
  const up = scene.nodes.filter(node => node.isUp)
  if (up.length === 0) return false
  // A node with a write under way has more to lose.
  const busy = up.filter(isWriting)
  crashAndRestart(scene, random, random.pick(busy.length > 0 && random.chance(0.5) ? busy : up))
  return true
}

function isWriting(node: SimNode): boolean {
  return [...node.replicas.values()].some(replica => !replica.disk.idle)
}

/** A node ends in good order, and comes back. */
function cleanRestart(scene: Scene, random: RandomStream): boolean {
  const serving = scene.nodes.filter(node => node.isServing)
  if (serving.length === 0) return false
  const node = random.pick(serving)
  node.stop(() => scene.world.queue.after(duration(scene, random), () => node.start()))
  return true
}

/** A new leader dies within moments: before its term is on disk, before anybody has its entries, or just after. */
export function strikeNewLeader(scene: Scene, node: SimNode): void {
  const { plan, queue, coverage, random } = scene.world
  if (!plan.faults.has('crashNewLeader') || !random.host.chance(0.4)) return
  queue.after(random.host.int(2 * plan.network.delayMostUs), () => {
    if (!node.isUp || !scene.world.faulty()) return
    coverage.hit('crashNewLeader')
    // Back at once, it may find its own term still open.
    const electionUs = plan.tickUs * plan.electionTicks
    const downUs = random.host.chance(0.5) ? random.host.int(electionUs / 10) : duration(scene, random.host)
    crashAndRestart(scene, random.host, node, downUs)
  })
}

function powerLoss(scene: Scene, random: RandomStream): boolean {
  const up = scene.nodes.filter(node => node.isUp)
  for (const node of up) crashAndRestart(scene, random, node, duration(scene, random), false)
  return up.length > 0
}

function crashAndRestart(
  scene: Scene,
  random: RandomStream,
  node: SimNode,
  downUs: number = duration(scene, random),
  mayBeKilled = true,
): void {
  const { queue, plan, coverage, network } = scene.world
  const tears = plan.faults.has('tornWrite') && random.chance(0.7)
  if (tears && isWriting(node)) coverage.hit('tornWrite')
  node.crash(tears ? 'powerLostTearing' : mayBeKilled && random.chance(0.5) ? 'killed' : 'powerLost')
  network.reset(node.id)
  if (plan.faults.has('bitFlip') && random.chance(0.5) && node.disk.flipInCopy(random)) coverage.hit('bitFlip')
  queue.after(downUs, () => node.start())
}

function pause(scene: Scene, random: RandomStream): boolean {
  const up = scene.nodes.filter(node => node.isUp && !node.isPaused)
  if (up.length === 0) return false
  random.pick(up).pause(scene.world.queue.nowUs + duration(scene, random))
  return true
}

function slowDisk(scene: Scene, random: RandomStream): boolean {
  const { disk } = random.pick(scene.nodes)
  disk.slowness = random.between(5, 50)
  scene.world.queue.after(duration(scene, random), () => {
    disk.slowness = 1
  })
  return true
}

function diskStall(scene: Scene, random: RandomStream): boolean {
  random.pick(scene.nodes).disk.stall(scene.world.queue.nowUs + duration(scene, random))
  return true
}

/** An fsync fails; what it was for may be lost, although it can be read until the power goes. */
function syncError(scene: Scene, random: RandomStream): boolean {
  random.pick(scene.nodes).disk.failNextSync()
  return false
}

function diskFull(scene: Scene, random: RandomStream): boolean {
  random.pick(scene.nodes).disk.fullUntilUs = scene.world.queue.nowUs + duration(scene, random)
  return false
}

/** The end of a log is missing after a stop: the replica has to see that. */
function lostTail(scene: Scene, random: RandomStream): boolean {
  return damage(scene, random, 'lostTail', (victim, folder) => victim.node.disk.cutNewestSegment(folder, random))
}

/** A bit of a log has flipped: the replica has to see that too, whatever it was. */
function bitRot(scene: Scene, random: RandomStream): boolean {
  return damage(scene, random, 'bitRot', (victim, folder) => victim.node.disk.flipInFolder(folder, random))
}

/** Stops a node, and damages the log of one of its replicas where the group can bear it. */
function damage(
  scene: Scene,
  random: RandomStream,
  name: FaultName,
  strike: (victim: Replica, folder: string) => boolean,
): boolean {
  const victim = someReplica(scene, random)
  if (victim === undefined || !victim.isRunning || !survives(victim.group, victim.id)) return false
  const { world } = scene
  const { group, node } = victim
  node.stop(() => {
    world.queue.after(duration(scene, random), () => node.start())
    // Without space it ended as in a crash: then the mark may not know of the newest rounds, and nobody can miss them.
    const endedWell = node.disk.fullUntilUs < world.queue.nowUs - MARK_US && victim.disk.idle
    if (!world.faulty() || !endedWell || group.replicas.get(victim.id) !== victim || !survives(group, victim.id)) return
    if (!strike(victim, `log/groups/${group.id}`)) return
    victim.disk.isDamaged = true
    // What would tell of it has to stay readable until somebody has looked.
    node.disk.hasFlip = true
    victim.disk.hasRot ||= name === 'bitRot'
    world.coverage.hit(name)
  })
  return false
}

/** A disk is gone with everything on it; the ids of its replicas will never be seen again. */
function wipe(scene: Scene, random: RandomStream): boolean {
  const node = random.pick(scene.nodes)
  const victims = [...node.replicas.values()]
  if (victims.length === 0 || !victims.every(victim => survives(victim.group, victim.id))) return false
  node.replaceDisk()
  for (const victim of victims) {
    victim.group.lost.add(victim.id)
    victim.group.destroy(victim)
  }
  scene.world.queue.after(duration(scene, random), () => node.start())
  return true
}

function someReplica(scene: Scene, random: RandomStream): Replica | undefined {
  const replicas = [...random.pick(scene.groups).replicas.values()]
  return replicas.length === 0 ? undefined : random.pick(replicas)
}

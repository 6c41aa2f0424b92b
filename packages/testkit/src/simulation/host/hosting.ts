/** Runs the replicas of a simulation by the real host: one `createNode` per process, with everything injected. */
import type { LogStore } from '@millrace/log-store'
import type { RaftConfig } from '@millrace/raft-core'
import { createNode, type GroupHandle, type NodeEvent } from '@millrace/raft-node'
import { Violation } from '../invariants/violation.ts'
import type { Replica } from '../replica.ts'
import type { SimGroup } from '../sim-group.ts'
import type { SimNode } from '../sim-node.ts'
import type { SimProcess } from '../sim-process.ts'
import type { StorageRecord } from '../storage-record.ts'
import type { Hosting, NodeHost, World } from '../world.ts'
import { HostNetwork } from './host-network.ts'
import { HostedReplica } from './hosted-replica.ts'
import { WatchedCore } from './watched-core.ts'
import { watchedStore } from './watched-store.ts'

const CHECKPOINT_INTERVAL_MS = 2_000

export class RaftNodeHosting implements Hosting {
  readonly #world: World
  readonly #network: HostNetwork
  readonly #nodes = new Map<number, SimNode>()

  /** @param world as it is before anything runs in it */
  constructor(world: World) {
    this.#world = world
    this.#network = new HostNetwork(world, {
      leaves: (node, group, message) => this.#replica(node, group)?.leaves(message),
      arrives: (node, group, message) => this.#replica(node, group)?.arrives(message),
    })
  }

  createReplica(group: SimGroup, node: SimNode, id: number, disk: StorageRecord): Replica {
    this.#nodes.set(node.id, node)
    return new HostedReplica(this.#world, group, node, id, disk)
  }

  async start(node: SimNode, process: SimProcess, store: LogStore): Promise<NodeHost> {
    const { plan, random } = this.#world
    const replica = (group: number): HostedReplica => {
      const found = this.#replica(node.id, group)
      if (found === undefined) throw new Error(`node ${node.id} has no replica of group ${group}`)
      return found
    }
    const raftNode = await createNode({
      nodeId: node.id,
      logStore: watchedStore(store, { asked: (group, write) => replica(group).asked(write) }),
      transport: this.#network.transport(node.id, process),
      clock: {
        ...process.clock,
        setTimer: (delayMs, run) => process.clock.after(delayMs, run),
        nextTurn: run => process.after(random.host.int(plan.turnUs + 1), run),
      },
      randomInt: bound => random.elections.int(bound),
      timing: {
        heartbeatMs: plan.tickUs / 1000,
        electionTimeoutMinMs: (plan.tickUs * plan.electionTicks) / 1000,
        checkpointIntervalMs: CHECKPOINT_INTERVAL_MS,
      },
      createCore: (group, config, initial, randomInt) => {
        const watched = replica(group)
        const trace: RaftConfig['trace'] = event => {
          config.trace?.(event)
          watched.roles.hear(event)
        }
        const core = new WatchedCore({ ...config, trace }, initial, randomInt, {
          before: input => watched.beforeStep(input),
          after: () => watched.afterStep(),
        })
        watched.cored(core)
        return core
      },
      log: event => this.#heard(node, event),
    })
    return {
      open: (opened: Replica): Promise<GroupHandle> =>
        raftNode.open(opened.group.id, replica(opened.group.id).hostMachine()),
      shutdown: () => raftNode.shutdown(),
      ended: () => this.#network.left(node.id),
    }
  }

  /** A replica that halts has lost its way, or found that another has. */
  #heard(node: SimNode, { level, message, group }: NodeEvent): void {
    if (/are repaired from node/.test(message)) this.#world.coverage.hit('holeFilled')
    if (level !== 'error' || !/halted|dropped an append/.test(message)) return
    this.#world.fail(new Violation('replicas do not halt', `group ${group} on node ${node.id}: ${message}`))
  }

  #replica(node: number, group: number): HostedReplica | undefined {
    const replica = this.#nodes.get(node)?.replicas.get(group)
    return replica instanceof HostedReplica ? replica : undefined
  }
}

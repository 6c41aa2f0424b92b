/**
 * Who belongs to the cluster, for who wants to change it: commands for the catalogue, made on its leader. What they lead
 * to in the groups is the work of each group's leader (member-reconciler.ts).
 */
import type { GroupHandle } from '@millrace/raft-node'
import { MillraceError } from '@millrace/record'
import type { NodeInfo } from './catalogue-command.ts'
import type { CatalogueMachine } from './catalogue-machine.ts'
import { CATALOGUE_GROUP } from './catalogue-machine.ts'
import { proposeToCatalogue } from './catalogue-proposal.ts'
import type { GroupWish } from './group-wish.ts'
import { notLeading } from './proposal-errors.ts'
import type { PartitionInfo } from './topics.ts'

/** A node as it joins, or joins again with a new data folder. */
export interface JoiningNode extends NodeInfo {
  /** Id of its data folder: random, the same each time that it asks. */
  readonly folder: string
}

export interface MemberNode {
  readonly node: number
  /** A new data folder may join as this node. */
  readonly admits: boolean
  readonly removed: boolean
}

export interface MemberGroup {
  readonly group: number
  /** '' for the catalogue. */
  readonly topic: string
  readonly partition: number
  /** What the group is to have; the preferred leader first. */
  readonly replicas: PartitionInfo['replicas']
}

/** What changes something goes to the catalogue's leader; elsewhere it throws NOT_LEADER, or NO_LEADER. */
export interface ClusterMembers {
  /**
   * Lets one new data folder join: as a node of the cluster whose folder is lost (`replace`), or as one that comes. Done
   * where it is so already.
   *
   * @throws MillraceError INVALID_ARGUMENT
   */
  admit(node: number, replace: boolean): Promise<void>
  /**
   * @returns the id of its replica of the catalogue: always the same for one folder
   * @throws MillraceError INVALID_ARGUMENT where the node was not admitted, or another folder was faster
   */
  claim(joining: JoiningNode): Promise<{ readonly catalogueReplica: number }>
  /**
   * Gives the node's replicas to others.
   *
   * @throws MillraceError INVALID_ARGUMENT where the others are too few
   */
  remove(node: number): Promise<void>
  /** As this node's catalogue has it. */
  nodes(): readonly MemberNode[]
  groups(): readonly MemberGroup[]
}

export function clusterMembers(machine: CatalogueMachine, handle: GroupHandle): ClusterMembers {
  const mustLead = (): void => {
    if (!handle.leading) throw notLeading(handle, 'the catalogue')
  }
  return {
    async admit(node, replace) {
      mustLead()
      checkNode(node)
      await proposeToCatalogue(handle, { type: 'admitNode', node, replace, catalogue: membersOf(handle) })
    },
    async claim(joining) {
      mustLead()
      checkNode(joining.node)
      if (!/^[\x21-\x7e]{1,64}$/.test(joining.folder)) throw invalid('a folder id has 1 to 64 printable characters')
      const result = await proposeToCatalogue(handle, { type: 'claimNode', ...joining })
      if (result.type !== 'claimed') throw new MillraceError('INTERNAL', `a claim was answered with ${result.type}`)
      return { catalogueReplica: result.catalogueReplica }
    },
    async remove(node) {
      mustLead()
      await proposeToCatalogue(handle, { type: 'removeNode', node, catalogue: membersOf(handle) })
    },
    nodes() {
      const { state } = machine
      const known = new Set([...state.nodes(), ...state.members.list()].map(({ node }) => node))
      return [...known]
        .sort((a, b) => a - b)
        .map(node => {
          const { admits = false, removed = false } = state.members.get(node) ?? {}
          return { node, admits, removed }
        })
    },
    groups: () => memberGroups(machine),
  }
}

function memberGroups({ state }: CatalogueMachine): readonly MemberGroup[] {
  const groups: MemberGroup[] = []
  const wish = state.members.catalogue
  if (wish !== undefined) groups.push({ group: CATALOGUE_GROUP, topic: '', partition: 0, replicas: wish.replicas })
  for (const { info } of state.topics()) {
    for (const { group, partition, replicas } of info.partitions) {
      groups.push({ group, topic: info.name, partition, replicas })
    }
  }
  return groups
}

/** What group 0 has, and the first id that it never had. */
function membersOf(handle: GroupHandle): GroupWish {
  const { voters, votersOutgoing, learners, places, lastReplica = 0 } = handle.status().configuration
  const members = new Set([...voters, ...learners])
  const replicas = places.flatMap(({ replica, node }) => (members.has(replica) ? [{ replica, node }] : []))
  const used = [lastReplica, ...members, ...votersOutgoing, ...places.map(({ replica }) => replica)]
  return { replicas, nextReplica: Math.max(...used) + 1 }
}

function checkNode(node: number): void {
  if (!Number.isInteger(node) || node < 1 || node > 65_535) throw invalid(`node ${node}: a number from 1 to 65535`)
}

function invalid(message: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', message)
}

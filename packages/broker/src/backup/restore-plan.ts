/**
 * Where the groups of a backup go. They stay with their nodes where the new cluster has the same ones, and nothing is added then,
 * unless nodes were replaced, added or removed: the logs end at their points. Otherwise every group gets new places, as a new topic would, and its log one more entry
 * that says so.
 *
 * Invariant: the plan is a function of the backup and the set of nodes. Every node makes it by itself, and writes the same
 * entries; that all had the same is made sure of before any of them serves.
 */
import { decodeGroupConfiguration, type GroupConfiguration, type ReplicaPlace } from '@millrace/raft-node'
import { type CatalogueContents, cataloguePlacesOn, LogContinuation, placesOn } from '@millrace/topics/offline'
import type { BackupGroup, BackupManifest } from './manifest.ts'

type PlacedGroups = readonly { readonly group: number; readonly replicas: readonly ReplicaPlace[] }[]

export class RestorePlan {
  readonly #manifest: BackupManifest
  readonly #catalogue: CatalogueContents
  readonly #nodes: readonly number[]
  /** By group; undefined where all stay. */
  readonly #moved: ReadonlyMap<number, readonly ReplicaPlace[]> | undefined

  /** @param nodes ids of the new cluster's nodes, in any order */
  constructor(manifest: BackupManifest, catalogue: CatalogueContents, nodes: readonly number[]) {
    this.#manifest = manifest
    this.#catalogue = catalogue
    this.#nodes = nodes.toSorted((a, b) => a - b)
    this.#moved = this.#mayStay() ? undefined : this.#newPlaces()
  }

  /** The id of the group's replica on a node, undefined where it has none. */
  replicaOn(node: number, group: BackupGroup): number | undefined {
    const places = this.#moved?.get(group.group) ?? configurationOf(group).places
    return places.find(place => place.node === node)?.replica
  }

  /** What comes after the point of a group, in a term above it. */
  continuationOf(group: BackupGroup): LogContinuation {
    const { point } = group
    const entries = new LogContinuation(group.group, point, point.term + 1, point.timestamp)
    const places = this.#moved?.get(group.group)
    if (places !== undefined) entries.configuration(onPlaces(configurationOf(group), places))
    if (group.group !== 0) return entries
    // Their partitions would come back empty.
    for (const name of this.#manifest.leftOut) entries.command({ type: 'deleteTopic', name })
    if (this.#moved !== undefined) this.#tellCatalogue(entries, this.#moved)
    else if (this.#hasMembers()) entries.command({ type: 'placeReplicas', groups: this.#asConfigured() })
    return entries
  }

  /** The nodes are those that hold the catalogue, and no group is elsewhere. */
  #mayStay(): boolean {
    const [catalogue, ...groups] = this.#manifest.groups.map(group => configurationOf(group).places)
    if (catalogue!.length !== this.#nodes.length) return false
    return [catalogue!, ...groups].every(places => places.every(({ node }) => this.#nodes.includes(node)))
  }

  /** The catalogue knows of data folders, or of wishes for groups, that the restored cluster has not. */
  #hasMembers(): boolean {
    return this.#catalogue.members.length > 0 || this.#catalogue.catalogue !== undefined
  }

  /** Where the groups really are, as the backup has them. */
  #asConfigured(): PlacedGroups {
    const topics = this.#catalogue.topics.filter(({ info }) => !this.#manifest.leftOut.includes(info.name))
    const wishes = new Map(
      topics.flatMap(({ info }) => info.partitions.map(({ group, replicas }) => [group, replicas])),
    )
    return this.#manifest.groups.flatMap(group => {
      const wish = wishes.get(group.group)
      if (wish === undefined) return []
      const { voters, places } = configurationOf(group)
      const rank = ({ node }: ReplicaPlace): number =>
        wish.findIndex(place => place.node === node) + 1 || wish.length + 1
      const replicas = places.filter(({ replica }) => voters.includes(replica)).toSorted((a, b) => rank(a) - rank(b))
      return [{ group: group.group, replicas: replicas.map(({ replica, node }) => ({ replica, node })) }]
    })
  }

  #tellCatalogue(entries: LogContinuation, moved: ReadonlyMap<number, readonly ReplicaPlace[]>): void {
    const groups = [...moved].flatMap(([group, replicas]) => (group === 0 ? [] : [{ group, replicas }]))
    entries.command({ type: 'placeReplicas', groups })
    const gone = this.#catalogue.nodes.map(({ node }) => node).filter(node => !this.#nodes.includes(node))
    if (gone.length > 0) entries.command({ type: 'forgetNodes', nodes: gone })
  }

  #newPlaces(): ReadonlyMap<number, readonly ReplicaPlace[]> {
    const places = new Map<number, readonly ReplicaPlace[]>([[0, cataloguePlacesOn(this.#nodes)]])
    const topics = this.#catalogue.topics.filter(({ info }) => !this.#manifest.leftOut.includes(info.name))
    for (const { info } of topics) for (const [group, own] of placesOn(this.#nodes, info)) places.set(group, own)
    return places
  }
}

/** Ids of replicas that are no longer there are not given again. */
function onPlaces(before: GroupConfiguration, places: readonly ReplicaPlace[]): GroupConfiguration {
  const voters = places.map(({ replica }) => replica).sort((a, b) => a - b)
  const lastReplica = Math.max(before.lastReplica ?? 0, ...before.places.map(({ replica }) => replica), ...voters)
  return {
    ...{ voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false, places },
    ...(before.leaseReads === true && { leaseReads: true }),
    ...(lastReplica > voters.at(-1)! && { lastReplica }),
  }
}

function configurationOf({ configuration }: BackupGroup): GroupConfiguration {
  return decodeGroupConfiguration(Buffer.from(configuration.bytes, 'base64'))
}

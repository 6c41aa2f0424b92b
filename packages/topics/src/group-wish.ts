/**
 * Which replicas a group is to have: the wish that the catalogue holds, and that the group's leader brings its
 * configuration in line with. Pure.
 *
 * Invariant: `nextReplica` is above every id that the group was ever given, so of two wishes for one group the one with
 * the higher `nextReplica` is the later one, or both have been given the same replicas.
 */
import type { ReplicaPlace } from '@millrace/raft-node'

export interface GroupWish {
  /** The preferred leader first. */
  readonly replicas: readonly ReplicaPlace[]
  /** Id of the next replica that the group gets: ids are never used again. */
  readonly nextReplica: number
}

/** The same replicas, with a new one on `to` in the place of the one on `from`; undefined where `from` has none. */
export function replaced({ replicas, nextReplica }: GroupWish, from: number, to: number): GroupWish | undefined {
  const at = replicas.findIndex(({ node }) => node === from)
  if (at < 0) return undefined
  return { replicas: replicas.with(at, { replica: nextReplica, node: to }), nextReplica: nextReplica + 1 }
}

/** One more replica, on a node that has none. */
export function extended({ replicas, nextReplica }: GroupWish, node: number): GroupWish {
  return { replicas: [...replicas, { replica: nextReplica, node }], nextReplica: nextReplica + 1 }
}

export function withoutNodes<Wish extends { readonly replicas: readonly ReplicaPlace[] }>(
  wish: Wish,
  nodes: ReadonlySet<number>,
): Wish {
  const replicas = wish.replicas.filter(({ node }) => !nodes.has(node))
  return replicas.length === 0 || replicas.length === wish.replicas.length ? wish : { ...wish, replicas }
}

/** The first id after those of `replicas`. */
export function nextReplicaAfter(replicas: readonly ReplicaPlace[]): number {
  return Math.max(...replicas.map(({ replica }) => replica)) + 1
}

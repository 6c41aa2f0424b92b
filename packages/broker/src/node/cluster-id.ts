/**
 * Ids of clusters. One that Millrace makes ends in a checksum of the founding nodes, so that it cannot be used with another
 * list: a node that lost its folder, and is prepared again under the id with fewer nodes than the cluster has, would
 * found a cluster of its own that its old peers take for theirs, and vote there with what it has forgotten.
 */
import { randomUUID } from 'node:crypto'
import { crc32 } from '@millrace/record'
import { StartError } from '../start-error.ts'

const MARK = '~'

/** @param nodes ids of all founding nodes */
export function newClusterId(nodes: readonly number[]): string {
  return `${randomUUID()}${MARK}${checksumOf(nodes)}`
}

/**
 * An id that was made elsewhere, or that somebody has thought of: 1 to 64 printable characters. Of the latter kind nobody
 * can tell which nodes it is for.
 *
 * @throws StartError CONFIG_INVALID
 */
export function checkClusterId(clusterId: string, nodes: readonly number[]): string {
  if (!/^[\x21-\x7e]{1,64}$/.test(clusterId)) {
    throw new StartError(
      'CONFIG_INVALID',
      `cluster id ${JSON.stringify(clusterId)}: must be 1 to 64 printable ASCII characters without spaces`,
    )
  }
  const made = /~([0-9a-f]{8})$/.exec(clusterId)?.[1]
  if (made === undefined || made === checksumOf(nodes)) return clusterId
  const list = nodes.toSorted((a, b) => a - b).join(', ')
  throw new StartError(
    'CONFIG_INVALID',
    `cluster id ${clusterId} was made for another list of founding nodes than ${list}: cluster.nodes has to be the same on all nodes when a cluster is founded. A node of a cluster that exists, and whose folder is lost, is prepared with millrace init --join. Nothing was changed`,
  )
}

function checksumOf(nodes: readonly number[]): string {
  const list = nodes.toSorted((a, b) => a - b).join(',')
  return crc32(new TextEncoder().encode(list)).toString(16).padStart(8, '0')
}

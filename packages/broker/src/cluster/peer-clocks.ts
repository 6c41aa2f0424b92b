/** What the clocks of the other nodes say, beside this one's. */
import type { NodeDirectory } from './node-directory.ts'

/** For an answer; half of it is how wrong a comparison can be at most. */
const ANSWER_MS = 2_000

/** This node's clocks. */
export interface OwnClocks {
  wallMs(): number
  monotonicMs(): number
}

/**
 * By how much the clocks of other nodes are ahead of this one's, milliseconds, of those that answer within 2 s. Whatever the
 * answer took is taken for the same both ways.
 *
 * @param nodes to ask
 */
export async function peerSkewsMs(
  directory: Pick<NodeDirectory, 'clients'>,
  nodes: readonly number[],
  clocks: OwnClocks,
): Promise<readonly number[]> {
  const answers = await Promise.all(nodes.map(node => skewOf(directory, node, clocks)))
  return answers.filter(skewMs => skewMs !== undefined)
}

async function skewOf(
  directory: Pick<NodeDirectory, 'clients'>,
  node: number,
  clocks: OwnClocks,
): Promise<number | undefined> {
  const askedMs = clocks.monotonicMs()
  try {
    const answer = await directory.clients(node)?.cluster.describeCluster({}, { timeoutMs: ANSWER_MS })
    // 0: one of an earlier version, which does not say.
    if (answer === undefined || answer.now === 0n) return undefined
    return Number(answer.now) - (clocks.wallMs() - (clocks.monotonicMs() - askedMs) / 2)
  } catch {
    // A node that does not answer has no say; that it does not, others report.
    return undefined
  }
}

/** A command for the catalogue as a promise of its result. */
import type { GroupHandle } from '@millrace/raft-node'
import { FrameCodec, FrameKind, MillraceError, NO_PRODUCER } from '@millrace/record'
import type { CatalogueCommand } from './catalogue-command.ts'
import { encodeCommand } from './catalogue-command.ts'
import type { CatalogueResult } from './catalogue-state.ts'
import { droppedProposal, notLeading } from './proposal-errors.ts'

/**
 * Proposes to the catalogue, which must be led here.
 *
 * @returns the result once it is committed and applied; never `refused`
 * @throws MillraceError the command's refusal; NOT_LEADER and the like where nothing was stored; LEADERSHIP_LOST where
 *   nobody can tell
 */
export function proposeToCatalogue(
  catalogue: GroupHandle,
  command: CatalogueCommand,
): Promise<Exclude<CatalogueResult, { type: 'refused' }>> {
  return new Promise((resolve, reject) => {
    const body = {
      kind: FrameKind.command,
      codec: FrameCodec.none,
      recordCount: 0,
      producerId: NO_PRODUCER,
      producerEpoch: 0,
      sequence: 0,
      payload: encodeCommand(command),
    }
    const taken = catalogue.propose(body, {
      applied(_frame, result) {
        const outcome = result as CatalogueResult
        if (outcome.type === 'refused') reject(outcome.error)
        else resolve(outcome)
      },
      failed(outcome, reason) {
        if (outcome === 'not_stored') reject(notLeading(catalogue, 'the catalogue', reason))
        else reject(new MillraceError('LEADERSHIP_LOST', `the catalogue may or may not hold the change: ${reason}`))
      },
    })
    if (taken.type === 'dropped') reject(droppedProposal(catalogue, 'the catalogue', taken))
  })
}

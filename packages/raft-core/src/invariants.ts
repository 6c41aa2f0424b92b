/**
 * What must hold between any two statuses of one replica in one life, and inside each. Tests call it on every step; a
 * violation is a bug in the core or in its host's storage.
 */
import type { GroupStatus, PeerStatus } from './status.ts'

/** A property that must hold does not. Never caught to go on: the replica must be stopped. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation'
}

/**
 * Compares two statuses of one replica, the second taken after any number of steps without a restart.
 *
 * @throws InvariantViolation naming the property and the values
 */
export function checkInvariants(before: GroupStatus, after: GroupStatus): void {
  const fail = (property: string): never => {
    throw new InvariantViolation(`replica ${after.id}: ${property} (term ${before.term} → ${after.term})`)
  }
  if (after.term < before.term) fail('the term went back')
  if (after.term === before.term && before.vote !== 0 && after.vote !== before.vote) {
    fail(`the vote of the term changed from ${before.vote} to ${after.vote}`)
  }
  if (after.term === before.term && before.leader !== 0 && after.leader !== 0 && after.leader !== before.leader) {
    fail(`the term has two leaders, ${before.leader} and ${after.leader}`)
  }
  if (after.commit < before.commit) fail(`commit went back from ${before.commit} to ${after.commit}`)
  if (after.applied < before.applied) fail(`applied went back from ${before.applied} to ${after.applied}`)
  if (after.baseIndex < before.baseIndex) fail(`the base went back from ${before.baseIndex} to ${after.baseIndex}`)
  if (after.configurationIndex < before.configurationIndex) fail('the configuration went back')
  if (after.role === 'leader' && before.role === 'leader' && after.term === before.term) {
    if (after.lastIndex < before.lastIndex) fail('a leader removed entries from its own log')
  }
  checkStatus(after, fail)
}

function checkStatus(status: GroupStatus, fail: (property: string) => never): void {
  const { applied, applying, commit, lastIndex, durableIndex, baseIndex, role } = status
  if (applied > applying) fail(`applied ${applied} is above applying ${applying}`)
  if (applying > commit) fail(`applying ${applying} is above commit ${commit}`)
  if (commit > lastIndex) fail(`commit ${commit} is above the last index ${lastIndex}`)
  if (durableIndex > lastIndex) fail(`durable ${durableIndex} is above the last index ${lastIndex}`)
  if (baseIndex > commit) fail(`base ${baseIndex} is above commit ${commit}`)
  if (status.lastTerm > status.term) fail(`the log has an entry of term ${status.lastTerm}, ahead of the replica`)
  if (role === 'leader' && status.leader !== status.id) fail('a leader does not know that it leads')
  if (role === 'candidate' && status.vote !== status.id) fail('a candidate has not voted for itself')
  if (role === 'leader' && status.uncertainUntil !== undefined) fail('a replica with an uncertain log leads')
  for (const peer of status.peers) checkPeer(peer, status, fail)
}

function checkPeer(peer: PeerStatus, status: GroupStatus, fail: (property: string) => never): void {
  if (peer.match >= peer.next) fail(`peer ${peer.id}: match ${peer.match} is not below next ${peer.next}`)
  if (peer.next > status.lastIndex + 1) fail(`peer ${peer.id}: next ${peer.next} is beyond the end of the log`)
  if (peer.state !== 'replicate' && peer.inflightMessages > 0) fail(`peer ${peer.id} is ${peer.state}, with a window`)
}

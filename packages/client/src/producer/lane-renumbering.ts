/**
 * What becomes of the numbers of a lane when nothing is in flight and some batches leave it for good. A pure function;
 * the reasons why its answers keep the promises of `append-lane.ts` are here.
 *
 * The slots are numbered ones u (maybe stored), then numbered ones c (certainly not), then ones without number:
 *
 *     u u u c c c - - -        prefix = 3
 *
 * - Nothing leaves: all keep their numbers and are sent again.
 * - One leaves in c: the others in c lose their numbers. They are given again from the first c on if no c was ever
 *   uncertain; otherwise bytes of an attempt may be under way with a number that must not become valid: a new epoch.
 * - One leaves in u, at r: the u behind it may be stored, and if they are not they never can be, since their numbers need
 *   r's. Nobody can tell: they leave as `unknown`. A new epoch for the rest.
 * - The producer is forgotten: no u can be told from a new batch any more; they leave as `unknown`. A new epoch.
 *
 * An abandoned u (its caller was told `unknown`) stays as long as a u behind it is waited for.
 */
import type { Outcome } from '@millrace/record'
import type { Failure } from './answer.ts'
import { type Slot, uncertainPrefix } from './lane-slot.ts'

export interface Renumbering {
  /** These leave, in this order; `failure` is null where the caller has its result. */
  readonly leaving: readonly { readonly slot: Slot; readonly failure: Failure | null; readonly outcome: Outcome }[]
  /** These lose their numbers. */
  readonly unnumbered: readonly Slot[]
  /** How numbers go on: as before, again from a lower one, or from 0 of a new epoch. */
  readonly next: 'same' | { readonly sequence: number } | 'new-epoch'
}

/**
 * @param slots of one epoch, none in flight
 * @param forgotten set where the partition does not know the producer any more
 */
export function renumber(slots: readonly Slot[], forgotten: Failure | null): Renumbering {
  const prefix = uncertainPrefix(slots)
  const needed = slots.findLastIndex((s, i) => i < prefix && !s.abandoned && s.refusal === null)
  const leaves = (slot: Slot, i: number): boolean =>
    slot.refusal !== null || (slot.abandoned && i > needed) || (forgotten !== null && i < prefix)
  const first = slots.findIndex(leaves)
  if (first === -1 && forgotten === null) return { leaving: [], unnumbered: [], next: 'same' }
  const cutsPrefix = first !== -1 && first < prefix
  const cause = forgotten ?? slots[first]?.refusal ?? null
  const leaving: { slot: Slot; failure: Failure | null; outcome: Outcome }[] = []
  const unnumbered: Slot[] = []
  for (const [i, slot] of slots.entries()) {
    const stranded = cutsPrefix && i >= first && i < prefix
    const outcome = i < prefix ? 'unknown' : 'not_stored'
    if (leaves(slot, i) || stranded) leaving.push({ slot, failure: slot.refusal ?? cause, outcome })
    else if (i >= prefix) unnumbered.push(slot)
  }
  const certain = slots.slice(prefix).filter(slot => slot.sequence >= 0)
  if (cutsPrefix || forgotten !== null || certain.some(slot => slot.uncertain)) {
    return { leaving, unnumbered, next: 'new-epoch' }
  }
  const sequence = certain[0]?.sequence
  return { leaving, unnumbered, next: sequence === undefined ? 'same' : { sequence } }
}

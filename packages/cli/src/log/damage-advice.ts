/** What damage costs, and what to do about it, by the kind of file. docs/operate/log-tools.md says the same in a table. */
import type { Damage } from '@millrace/log-store/offline'

const MADE_DURABLE = 'is known to have been durable'

const REPLACE =
  'this replica of the group is hit, the others of the node run: other replicas have all of it, drop this one and add a new one'

/** First match counts. */
const ADVICE: readonly (readonly [matches: (damage: Damage) => boolean, advice: string])[] = [
  [
    ({ what }) => what.includes(MADE_DURABLE),
    'entries at the end of this replica are lost: start the node, it neither votes nor leads there until other replicas have given them back',
  ],
  [
    ({ file }) => file === 'identity',
    'no record is lost, but the node refuses to start: restore this one file from a copy of the folder',
  ],
  [({ file, what }) => file === 'log/votes' && !what.includes('; the other is whole'), REPLACE],
  [
    ({ file }) => file === 'log/votes' || file === 'log/mark-a' || file === 'log/mark-b',
    'nothing is lost yet: start the node, it writes this copy again from the other',
  ],
  [({ file }) => file.endsWith('.index'), 'nothing is lost: delete this file, it is made again from its segment'],
  [
    ({ file }) => file.endsWith('.snapshot'),
    'no record is lost: delete this file, the log and other snapshots are used instead, or another replica sends one',
  ],
]

export function adviceFor(damage: Damage): string {
  return ADVICE.find(([matches]) => matches(damage))?.[1] ?? REPLACE
}

/** Listens to the trace of one core and counts its transitions. */
import type { Role, TraceEvent } from '@millrace/raft-core'
import type { Coverage, TransitionName } from './coverage.ts'
import { isJoint } from './invariants/configuration.ts'

const ROLES: Readonly<Record<string, Role>> = {
  becameFollower: 'follower',
  becamePreCandidate: 'preCandidate',
  becameCandidate: 'candidate',
  becameLeader: 'leader',
}

export class RoleWatch {
  #role: Role = 'follower'
  #wasJoint = false
  #certain = false
  #transferTo = 0
  readonly #coverage: Coverage

  constructor(coverage: Coverage) {
    this.#coverage = coverage
  }

  /** The trace hook. */
  readonly hear = (event: TraceEvent): void => {
    switch (event.type) {
      case 'becameFollower':
      case 'becamePreCandidate':
      case 'becameCandidate':
      case 'becameLeader':
        this.#become(ROLES[event.type] ?? 'follower')
        if (event.type === 'becameFollower' && event.leader !== 0 && event.leader === this.#transferTo) {
          this.#coverage.hit('transferCompleted')
        }
        break
      case 'configurationChanged': {
        const joint = isJoint(event.configuration)
        if (joint !== this.#wasJoint) this.#coverage.hit(joint ? 'jointEntered' : 'jointLeft')
        this.#wasJoint = joint
        this.#coverage.hit(event.type)
        break
      }
      case 'transferStarted':
        this.#transferTo = event.target
        this.#coverage.hit(event.type)
        break
      case 'certain':
        this.#certain = true
        this.#coverage.hit(event.type)
        break
      case 'entryMissed':
      case 'holePassed':
      case 'steppedDown':
        // Only where a log has holes.
        break
      default:
        this.#coverage.hit(event.type)
    }
  }

  /** Whether the end of the log has become certain since the last call. */
  takeCertain(): boolean {
    const certain = this.#certain
    this.#certain = false
    return certain
  }

  #become(role: Role): void {
    const name = `${this.#role} → ${role}`
    if (isTransition(name)) this.#coverage.hit(name)
    this.#role = role
  }
}

const COUNTED: ReadonlySet<string> = new Set<TransitionName>([
  'follower → preCandidate',
  'follower → candidate',
  'follower → follower',
  'preCandidate → candidate',
  'preCandidate → follower',
  'preCandidate → preCandidate',
  'candidate → leader',
  'candidate → follower',
  'candidate → candidate',
  'candidate → preCandidate',
  'leader → follower',
])

function isTransition(name: string): name is TransitionName {
  return COUNTED.has(name)
}

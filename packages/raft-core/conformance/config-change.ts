/** The confchange/ scripts: one configuration per file, changed step by step, with the progress of its members. */
import type { Configuration } from '../src/index.ts'
import {
  type ChangeResult,
  changeSimply,
  EMPTY_CONFIGURATION,
  enterJoint,
  leaveJoint,
} from '../src/membership/changer.ts'
import { Tracker } from '../src/progress/tracker.ts'
import { parseSteps } from './config-steps.ts'
import type { Directive } from './data-driven.ts'
import { formatConfiguration, formatProgress } from './format.ts'

/** @returns what runs the directives of one file */
export function configChangeScript(): (directive: Directive) => string {
  const tracker = new Tracker(EMPTY_CONFIGURATION, 0, { inflightMessagesMax: 10, inflightBytesMax: 0 })
  let lastIndex = 0
  return directive => {
    try {
      const result = change(tracker.configuration, directive)
      if (result.type === 'refused') return result.message
      for (const id of result.renewed) tracker.progress.delete(id)
      tracker.adopt(result.configuration, lastIndex)
      return [formatConfiguration(tracker.configuration), ...progressLines(tracker)].join('\n')
    } catch (error) {
      return (error as Error).message
    } finally {
      lastIndex++
    }
  }
}

function change(current: Configuration, directive: Directive): ChangeResult {
  const steps = parseSteps(directive.input)
  switch (directive.command) {
    case 'simple':
      return changeSimply(current, steps)
    case 'enter-joint': {
      const autoLeave = directive.arguments.find(arg => arg.key === 'autoleave')?.values[0] === 'true'
      return enterJoint(current, autoLeave, steps)
    }
    case 'leave-joint':
      if (steps.length > 0) throw new Error('this command takes no input')
      return leaveJoint(current)
    default:
      throw new Error('unknown command')
  }
}

function progressLines(tracker: Tracker): string[] {
  return tracker.members.map(id => {
    const progress = tracker.progress.get(id)!
    return formatProgress({
      id,
      match: progress.match,
      next: progress.next,
      state: progress.state,
      learner: tracker.isLearner(id),
      paused: progress.paused,
      pendingSnapshot: progress.pendingSnapshot,
      recentActive: progress.recentActive,
      inflightMessages: progress.inflights.count,
      inflightFull: progress.inflights.full,
    })
  })
}

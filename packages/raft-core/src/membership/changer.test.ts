import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ConfigChangeStep, Configuration } from '../configuration.ts'
import { applyChange, type ChangeResult, changeSimply, EMPTY_CONFIGURATION, enterJoint, leaveJoint } from './changer.ts'

function configuration(voters: number[], learners: number[] = []): Configuration {
  return { ...EMPTY_CONFIGURATION, voters, learners }
}

function changed(result: ReturnType<typeof applyChange>): Configuration {
  if (result.type === 'refused') throw new Error(result.message)
  return result.configuration
}

const step: fc.Arbitrary<ConfigChangeStep> = fc.record({
  kind: fc.constantFrom('addVoter' as const, 'addLearner' as const, 'remove' as const, 'update' as const),
  id: fc.integer({ min: 1, max: 6 }),
})

describe('configuration changes', () => {
  it('through a joint configuration end where the same steps one by one do', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), (steps, autoLeave) => {
        const start = configuration([1, 2, 3], [4])
        const joint = enterJoint(start, autoLeave, steps)
        let simple: Configuration | undefined = start
        for (const single of steps) {
          if (simple === undefined) break
          const result: ChangeResult = changeSimply(simple, [single])
          simple = result.type === 'changed' ? result.configuration : undefined
        }
        if (joint.type === 'refused') {
          // Only for want of voters at the end: then no order of simple steps gets there either.
          expect(joint.message).toBe('removed all voters')
          expect(simple).toBeUndefined()
        } else if (simple !== undefined) {
          expect(changed(leaveJoint(joint.configuration))).toEqual(simple)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('keep every member in exactly one place', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 8 }), steps => {
        const result = enterJoint(configuration([1, 2, 3], [4]), true, steps)
        if (result.type === 'refused') return
        const { voters, votersOutgoing, learners, learnersNext } = result.configuration
        for (const id of learners) expect([...voters, ...votersOutgoing, ...learnersNext]).not.toContain(id)
        for (const id of learnersNext) {
          expect(votersOutgoing).toContain(id)
          expect(voters).not.toContain(id)
        }
        expect(voters.length).toBeGreaterThan(0)
      }),
    )
  })

  it('use a simple change where one step is asked for, and a joint one for more', () => {
    const one = changed(applyChange(configuration([1]), { steps: [{ kind: 'addVoter', id: 2 }], transition: 'auto' }))
    expect(one).toEqual(configuration([1, 2]))
    const steps = [2, 3].map((id): ConfigChangeStep => ({ kind: 'addVoter', id }))
    const two = changed(applyChange(configuration([1]), { steps, transition: 'auto' }))
    expect(two).toMatchObject({ voters: [1, 2, 3], votersOutgoing: [1], autoLeave: true })
  })

  it('force a joint configuration when told to', () => {
    const steps: ConfigChangeStep[] = [{ kind: 'addVoter', id: 2 }]
    const explicit = changed(applyChange(configuration([1]), { steps, transition: 'explicit' }))
    expect(explicit).toMatchObject({ votersOutgoing: [1], autoLeave: false })
    const implicit = changed(applyChange(configuration([1]), { steps, transition: 'implicit' }))
    expect(implicit).toMatchObject({ votersOutgoing: [1], autoLeave: true })
  })

  it('make a learner of an outgoing voter only when the joint configuration is left', () => {
    const joint = changed(enterJoint(configuration([1, 2]), false, [{ kind: 'addLearner', id: 2 }]))
    expect(joint).toMatchObject({ voters: [1], votersOutgoing: [1, 2], learners: [], learnersNext: [2] })
    expect(changed(leaveJoint(joint))).toEqual(configuration([1], [2]))
  })

  it('do nothing for nobody: replica 0 is none', () => {
    for (const kind of ['addVoter', 'addLearner', 'remove', 'update'] as const) {
      expect(changed(changeSimply(configuration([1], [2]), [{ kind, id: 0 }]))).toEqual(configuration([1], [2]))
    }
  })

  it('say who was removed and added again', () => {
    const result = changeSimply(configuration([1, 2]), [
      { kind: 'remove', id: 2 },
      { kind: 'addVoter', id: 2 },
    ])
    expect(result).toMatchObject({ type: 'changed', renewed: [2] })
  })

  it.each([
    ['removed all voters', () => changeSimply(configuration([1]), [{ kind: 'remove', id: 1 }])],
    ['config is already joint', () => enterJoint({ ...configuration([1]), votersOutgoing: [2] }, false, [])],
    [
      'more than one voter changed without entering joint config',
      () =>
        changeSimply(configuration([1, 2]), [
          { kind: 'addVoter', id: 3 },
          { kind: 'remove', id: 2 },
        ]),
    ],
    ["can't leave a non-joint config", () => leaveJoint(configuration([1]))],
    ["can't make a zero-voter config joint", () => enterJoint(EMPTY_CONFIGURATION, false, [])],
    [
      "can't apply simple config change in joint config",
      () => changeSimply({ ...configuration([1]), votersOutgoing: [2] }, []),
    ],
  ])('refuse: %s', (message, act) => {
    expect(act()).toEqual({ type: 'refused', message })
  })
})

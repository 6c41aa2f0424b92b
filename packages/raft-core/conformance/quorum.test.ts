import { describe, expect, it } from 'vitest'
import { configChangeScript } from './config-change.ts'
import { parseFile } from './data-driven.ts'
import { runQuorum } from './quorum.ts'

function quorum(command: string): string {
  return runQuorum(parseFile(`${command}\n----\n`)[0]!)
}

function changes(...commands: string[]): string {
  const script = configChangeScript()
  return commands.map(command => script(parseFile(`${command}\n----\n`)[0]!)).at(-1)!
}

describe('quorum scripts', () => {
  it('draw a bar per voter', () => {
    expect(quorum('committed cfg=(1,2,3) idx=(7,_,9)')).toBe(
      ['       idx', 'x>       7    (id=1)', '?        0    (id=2)', 'xx>      9    (id=3)', '7'].join('\n'),
    )
  })

  it('refuse a count that does not fit', () => {
    expect(quorum('committed cfg=(1,2) idx=(7)')).toBe('error: mismatched input (explicit or _) for voters [1 2]: [7]')
    expect(quorum('vote cfg=(1) votes=(y,n)')).toBe('error: mismatched input (explicit or _) for voters [1]: [2 1]')
  })

  it('count votes of joint configurations', () => {
    expect(quorum('vote cfg=(1,2,3) cfgj=(4) votes=(y,y,_,_)')).toBe('VotePending')
    expect(quorum('vote cfg=(1,2,3) cfgj=(4) votes=(y,y,_,n)')).toBe('VoteLost')
    expect(quorum('vote cfg=(1,2,3) cfgj=zero votes=(y,y,_)')).toBe('VoteWon')
  })
})

describe('configuration change scripts', () => {
  it('print a configuration in all its parts', () => {
    const joint = changes('simple\nv1', 'simple\nv2', 'simple\nl3', 'enter-joint autoleave=true\nl2 v4')
    expect(joint.split('\n')[0]).toBe('voters=(1 4)&&(1 2) learners=(3) learners_next=(2) autoleave')
  })

  it('print refusals', () => {
    expect(changes('leave-joint')).toBe("can't leave a non-joint config")
    expect(changes('enter-joint\nv1')).toBe("can't make a zero-voter config joint")
    expect(changes('simple\nv1', 'enter-joint\nv2', 'simple\nv3')).toBe(
      "can't apply simple config change in joint config",
    )
    expect(changes('simple\nv1', 'enter-joint\nv2', 'leave-joint\nv3')).toBe('this command takes no input')
    expect(changes('simple\nv')).toBe('unknown token v')
  })
})

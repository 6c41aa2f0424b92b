import { describe, expect, test } from 'vitest'
import { validateTopicName } from './topic-name.ts'

describe('topic names', () => {
  test.each(['a', 'orders', 'Orders.v2', '0-day_x', 'x'.repeat(120)])('%s is one', name => {
    expect(() => validateTopicName(name)).not.toThrow()
  })

  test.each(['', '.', '..', '_hidden', '-flag', 'a b', 'a/b', 'grüße', 'a\n', 'x'.repeat(121), 'x'.repeat(5000)])(
    '%j is none: the error names the rule',
    name => {
      expect(() => validateTopicName(name)).toThrow(
        expect.objectContaining({ code: 'INVALID_NAME', message: expect.stringMatching(/letter or digit first/) }),
      )
    },
  )
})

import { describe, expect, it } from 'vitest'
import { parseFile } from './data-driven.ts'

describe('parseFile', () => {
  it('reads directives with arguments, input and expected output', () => {
    const text = [
      '# a comment',
      'propose-conf-change 1 v1=false transition=explicit',
      'v3 l4',
      '----',
      'ok',
      '',
      'committed cfg=(1, 2) cfgj=zero idx=(_,5)',
      '----',
      'line 1',
      '  line 2',
    ].join('\n')
    expect(parseFile(text)).toEqual([
      {
        line: 2,
        command: 'propose-conf-change',
        arguments: [
          { key: '1', values: [] },
          { key: 'v1', values: ['false'] },
          { key: 'transition', values: ['explicit'] },
        ],
        input: 'v3 l4',
        expected: 'ok',
      },
      {
        line: 7,
        command: 'committed',
        arguments: [
          { key: 'cfg', values: ['1', '2'] },
          { key: 'cfgj', values: ['zero'] },
          { key: 'idx', values: ['_', '5'] },
        ],
        input: '',
        expected: 'line 1\n  line 2',
      },
    ])
  })

  it('reads output with blank lines between doubled separators', () => {
    const text = ['status 1', '----', '----', 'a', '', 'b', '----', '----', '', 'next', '----', 'ok'].join('\n')
    expect(parseFile(text).map(directive => directive.expected)).toEqual(['a\n\nb', 'ok'])
  })

  it('joins a directive that goes on after a backslash', () => {
    const [directive] = parseFile('add-nodes 3 \\\nvoters=(1,2,3) index=10\n----\nok\n')
    expect(directive?.arguments.map(argument => argument.key)).toEqual(['3', 'voters', 'index'])
  })

  it('refuses a directive without a separator, and text that is no argument', () => {
    expect(() => parseFile('campaign 1\n')).toThrow(/line 1: the directive has no "----" line/)
    expect(() => parseFile('campaign (1\n----\nok')).toThrow(/line 1: cannot read/)
  })
})

import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

function outputOf(isAwaited: boolean): string {
  const clock = JSON.stringify(new URL('./clock.ts', import.meta.url).href)
  const program = `const { systemClock } = await import(${clock}); systemClock.after(20, () => console.log('ran'), ${isAwaited})`
  return spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }).stdout
}

test('a process lives as long as somebody waits for a timer, and no longer', () => {
  expect(outputOf(true)).toBe('ran\n')
  expect(outputOf(false)).toBe('')
})

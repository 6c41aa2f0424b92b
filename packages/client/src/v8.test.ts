import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const MODULE = new URL('./v8.ts', import.meta.url).href
const BUFFER_BYTES = 262_144

/** Runs a process through 2 GiB of buffers, of which it keeps the newest. @returns how often it collected its whole heap */
function wholeCollections(first: string, keptBytes: number): number {
  const script = `
    import { PerformanceObserver, constants } from 'node:perf_hooks'
    import { collectYoungBuffersFirst } from '${MODULE}'
    let whole = 0
    new PerformanceObserver(list => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) whole++
    }).observe({ entryTypes: ['gc'] })
    ${first}
    const kept = new Array(${keptBytes / BUFFER_BYTES}).fill(undefined)
    for (let made = 0; made < 8192; made++) {
      const buffer = Buffer.allocUnsafeSlow(${BUFFER_BYTES})
      buffer[0] = 1
      if (kept.length > 0) kept[made % kept.length] = buffer
      if (made % 8 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    await new Promise(resolve => setTimeout(resolve, 50))
    process.stdout.write(String(whole))`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  return Number(stdout)
}

test.each([
  ['that die at once', 0],
  ['that live as long as in the tail cache', 32 * 1024 * 1024],
])('buffers %s do not make V8 collect the whole heap', (_, keptBytes) => {
  const before = wholeCollections('', keptBytes)
  expect(before).toBeGreaterThan(10)
  expect(wholeCollections('collectYoungBuffersFirst()', keptBytes)).toBeLessThan(before / 2)
})

test('this V8 knows what it is asked for', () => {
  const script = `
    import { collectYoungBuffersFirst, optimiseSooner } from '${MODULE}'
    collectYoungBuffersFirst()
    optimiseSooner()`
  const args = ['--input-type=module-typescript', '-e', script]
  const { stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
})

import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const MODULE = new URL('./garbage-collection.ts', import.meta.url).href

/** Runs a process through 2 GiB of buffers that die young. @returns how often it collected its whole heap */
function wholeCollections(first: string): number {
  const script = `
    import { PerformanceObserver, constants } from 'node:perf_hooks'
    import { countBuffersInHeapLimit } from '${MODULE}'
    let whole = 0
    new PerformanceObserver(list => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) whole++
    }).observe({ entryTypes: ['gc'] })
    ${first}
    for (let made = 0; made < 8192; made++) {
      Buffer.allocUnsafeSlow(262144)[0] = 1
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

test('buffers that die young do not make V8 collect the whole heap', () => {
  const before = wholeCollections('')
  expect(before).toBeGreaterThan(10)
  expect(wholeCollections('countBuffersInHeapLimit()')).toBeLessThan(before / 2)
})

import { defineConfig } from 'vitest/config'

// Tests run the sources, as everything else in development does.
const conditions = ['millrace-source', 'node', 'import', 'module', 'default']

export default defineConfig({
  test: {
    // `pnpm coverage`: the algorithm, by its unit, paper and conformance tests.
    coverage: {
      provider: 'v8',
      include: ['packages/raft-core/src/**/*.ts'],
      exclude: ['**/*.test.ts', '**/testing/**'],
      reporter: ['text'],
      thresholds: { branches: 95 },
    },
    projects: [
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name: 'unit',
          include: [
            'packages/*/src/**/*.test.ts',
            'packages/*/conformance/**/*.test.ts',
            'test/contracts/**/*.test.ts',
            'bench/src/**/*.test.ts',
            'test/docs/**/*.test.ts',
            'test/linearizability/**/*.test.ts',
            'test/log-reader/**/*.test.ts',
          ],
          // Two on two cores: most of the time goes to waiting for disks and timers.
          maxWorkers: 2,
          // Real files and sockets on small machines: generous, since no test asserts speed.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          // A condition that comes late on a busy machine is no failure: what never comes ends with the test.
          expect: { poll: { timeout: 20_000 } },
        },
      },
      {
        resolve: { conditions },
        ssr: { resolve: { conditions } },
        test: {
          name: 'end-to-end',
          include: ['test/end-to-end/**/*.test.ts'],
          // Each test starts processes of its own; two cores carry one cluster at a time.
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 60_000 } },
        },
      },
    ],
  },
})

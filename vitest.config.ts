import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Tests run the sources, as everything else in development does.
  ssr: { resolve: { conditions: ['millrace-source', 'node', 'import', 'default'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts'],
    // Real files and sockets on small machines: generous, since no test asserts speed.
    testTimeout: 30_000,
  },
})

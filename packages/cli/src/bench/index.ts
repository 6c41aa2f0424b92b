/** What the benchmarks of this workspace measure and check with too: the arithmetic alone, no command. */
export * from './histogram.ts'
export * from './stamped-records.ts'

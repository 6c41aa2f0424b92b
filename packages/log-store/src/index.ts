export type { Clock, RandomFill, Timer } from './clock.ts'
export type { Disk, DiskFile, DiskOpenMode } from './disk.ts'
export * from './log-store.ts'
export * from './segmented-log-store.ts'

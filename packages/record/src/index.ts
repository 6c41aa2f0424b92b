export { crc32 } from '#crc32'
export * from './errors.ts'
export * from './frame.ts'
export * from './limits.ts'

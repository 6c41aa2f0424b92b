export { crc32 } from '#crc32'
export { zstdSupported } from '#zstd'
export * from './errors.ts'
export * from './frame.ts'
export * from './limits.ts'
export * from './partitioner.ts'
export {
  checkRecordBytes,
  checkRecordParts,
  type RecordData,
  type RecordHeader,
  type RecordInput,
} from './record-data.ts'
export * from './record-set-builder.ts'
export { type RecordSetIndex, recordSetIndex } from './record-set-index.ts'
export { RecordSetReader } from './record-set-reader.ts'
export * from './topic-name.ts'

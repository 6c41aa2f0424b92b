/** Bounds that client and broker must agree on. The whole table is docs/reference/limits.md, checked against this. */
export const LIMITS = {
  /** Key + value + headers of one record. */
  recordBytesMax: 1_048_576,
  /** Payload of one record set (one frame), and its value block before compression: room for the largest record. */
  recordSetBytesMax: 2_097_152,
  recordsPerSetMax: 65_536,
  keyBytesMax: 65_536,
  headersPerRecordMax: 64,
  headerNameBytesMax: 256,
  contentTypeBytesMax: 128,
  topicNameBytesMax: 120,
  partitionsPerTopicMax: 1_024,
  /** Batches of one producer in flight to one partition. */
  producerInflightBatchesMax: 5,
  /** Batches remembered per producer and partition, so that a retry finds its first attempt. */
  producerRememberedBatches: 8,
} as const

/** What both kinds of client export. */
export { type ErrorCode, LIMITS, MillraceError, type Outcome, type RecordHeader } from '@millrace/record'
export type { Client } from './client.ts'
export {
  CALL_DEFAULTS,
  CLIENT_DEFAULTS,
  type ClientOptions,
  type ConnectTarget,
  type Target,
} from './client-options.ts'
export type { ClusterDescription, ClusterNode } from './cluster/cluster-admin.ts'
export type { Routing } from './cluster/cluster-directory.ts'
export type { Dial, Wire } from './cluster/connection.ts'
export { bytes, type Codec, json, nullable, protobuf, text } from './codec.ts'
export type { Delivery } from './observe/delivery.ts'
export type { WindowLimits } from './observe/delivery-window.ts'
export { type ProcessEachOptions, processEach } from './observe/process-each.ts'
export { values } from './observe/values.ts'
export type { Compression } from './producer/append-batch.ts'
export type { Appended, AppendInput, HeadersInput } from './producer/append-input.ts'
export type { Expectation } from './producer/append-link.ts'
export { defaultPartitioner, type Partitioner } from './producer/topic-producer.ts'
export type { ReadFrom } from './reader/read-position.ts'
export type { ReceivedRecord } from './reader/received-record.ts'
export type { RecordList } from './reader/record-list.ts'
export type { ReadBatch } from './reader/topic-read.ts'
export type { ClientStatus } from './status/client-status.ts'
export type { AppendManyOptions, ObserveOptions, ReadOptions, Topic, TopicOptions } from './topic.ts'
export type { PartitionDescription, TopicConfig, TopicDescription } from './topic-admin.ts'

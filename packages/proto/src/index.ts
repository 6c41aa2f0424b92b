/** Messages and services of Millrace, generated from proto/. Decoded `bytes` fields alias the buffer they came from. */
export * from './gen/millrace/v1alpha1/cluster_pb.ts'
export * from './gen/millrace/v1alpha1/errors_pb.ts'
export * from './gen/millrace/v1alpha1/groups_pb.ts'
export * from './gen/millrace/v1alpha1/log_pb.ts'
export * from './gen/millrace/v1alpha1/peer_pb.ts'
export * from './gen/millrace/v1alpha1/record_pb.ts'
export * from './gen/millrace/v1alpha1/state_pb.ts'
export * from './gen/millrace/v1alpha1/topics_pb.ts'

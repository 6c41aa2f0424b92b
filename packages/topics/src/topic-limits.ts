/** Bounds of this package. Those marked *replicated* shape the state itself: changing one needs a new state format. */
export const TOPIC_LIMITS = {
  /** Producers remembered per partition; the one that has been silent longest is forgotten first. Replicated. */
  producersPerPartitionMax: 4_096,
  /** Accepted batches of one partition that are not committed yet. More: THROTTLED. */
  pendingBatchesMax: 16_384,
  /** Retries that wait for one batch in flight, and refusals that wait for the entry that caused them. More: THROTTLED. */
  attachedAnswersMax: 64,
  /** Readers waiting for the high watermark of one partition. More: THROTTLED. */
  watermarkWaitersMax: 10_000,
  /** Positions of sequential readers remembered per partition. */
  readCursorsMax: 1_024,
  /** Topics of a cluster. Replicated. */
  topicsMax: 10_000,
  /** Partitions of all topics of a cluster together. Replicated. */
  partitionsMax: 100_000,
  /** Nodes the catalogue knows. Replicated. */
  nodesMax: 1_024,
  /** Deleted topics whose groups may still be removed from a disk; the oldest are forgotten first. Replicated. */
  deletedTopicsMax: 10_000,
  /** Replicas that are being created or opened at the same time on one node. */
  openingReplicasMax: 4,
  /** Leaderships that one node hands over at the same time. */
  leaderMovesMax: 2,
  /** Groups whose members one node changes at the same time, as their leader. */
  memberChangesMax: 4,
  /** Logs that one node trims at the same time. */
  logTrimsMax: 1,
  /** By how much a node's time of day may move against its monotonic clock; more: it deletes nothing by age. */
  clockSkewMaxMs: 5_000,
  /** Segments are never ended earlier for a short `retentionMs`. */
  segmentAgeMinMs: 10_000,
  /**
   * Replicas of the catalogue that vote, however many nodes there are: every further node has a learner. A cluster that is
   * founded with more nodes keeps their votes.
   */
  catalogueVotersMax: 5,
} as const

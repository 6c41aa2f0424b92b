/** Defaults and rules of topic configurations. Applied by the leader, before a command is made: apply follows. */
import { LIMITS, MillraceError, validateTopicName } from '@millrace/record'
import type { CreateTopic, TopicConfig } from './topics.ts'

const DAY_MS = 24 * 60 * 60 * 1_000

/** `replication` at most: fewer where there are fewer nodes. `retentionBytes` 0: no limit. */
export const TOPIC_DEFAULTS: TopicConfig = {
  partitions: 3,
  replication: 3,
  retentionMs: 7 * DAY_MS,
  retentionBytes: 0,
}

/**
 * The whole configuration of a topic to be made on a cluster of `nodes` nodes.
 *
 * @throws MillraceError INVALID_NAME; INVALID_ARGUMENT naming the setting, its value and its range
 */
export function resolveConfig({ name, config = {} }: CreateTopic, nodes: number): TopicConfig {
  validateTopicName(name)
  const replication = config.replication ?? Math.min(TOPIC_DEFAULTS.replication, nodes)
  const resolved = { ...TOPIC_DEFAULTS, replication, ...withoutAbsent(config) }
  inRange('partitions', resolved.partitions, 1, LIMITS.partitionsPerTopicMax, 'partitionsPerTopicMax')
  inRange('replication', resolved.replication, 1, nodes, 'nodes of the cluster')
  inRange('retentionMs', resolved.retentionMs, 0, Number.MAX_SAFE_INTEGER, 'milliseconds; 0 keeps records for ever')
  inRange('retentionBytes', resolved.retentionBytes, 0, Number.MAX_SAFE_INTEGER, 'bytes; 0 sets no limit')
  return resolved
}

export function sameConfig(a: TopicConfig, b: TopicConfig): boolean {
  return (
    a.partitions === b.partitions &&
    a.replication === b.replication &&
    a.retentionMs === b.retentionMs &&
    a.retentionBytes === b.retentionBytes
  )
}

/** Callers without exact optional properties may pass `undefined` for "default". */
function withoutAbsent(config: Partial<TopicConfig>): Partial<TopicConfig> {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
}

function inRange(setting: string, value: number, min: number, max: number, what: string): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return
  throw new MillraceError('INVALID_ARGUMENT', `${setting} ${value}: must be ${min} to ${max} (${what})`, {
    details: { setting, value, min, max },
  })
}

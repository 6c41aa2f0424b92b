/**
 * What a backup says about itself: `manifest.json`, and `SHA256SUMS` beside it, which `sha256sum -c` reads too. The manifest
 * names the point of every group; the sums cover every file, the manifest among them.
 *
 * Layout of a backup:
 *
 *     manifest.json  SHA256SUMS  groups/<group>.state  groups/<group>.frames
 */
import { createHash } from 'node:crypto'
import type { BaseRecord, LogPosition } from '@millrace/log-store'
import * as v from 'valibot'
import { BackupError } from './backup-error.ts'

export const MANIFEST_FILE = 'manifest.json'
export const SUMS_FILE = 'SHA256SUMS'
export const GROUPS_FOLDER = 'groups'
const FORMAT = 1

export interface BackupGroup {
  readonly group: number
  /** Empty for the catalogue. */
  readonly topic: string
  readonly partition: number
  /** What the log starts from; the frames begin after it. The configuration is in base64. */
  readonly base: LogPosition & { readonly configuration: string; readonly configurationIndex: number }
  /** The last frame: everything up to here is in the backup, nothing after it. */
  readonly point: LogPosition
  /** In force at the point; in base64. */
  readonly configuration: { readonly index: number; readonly bytes: string }
  readonly frames: { readonly bytes: number; readonly sha256: string; readonly count: number; readonly records: number }
  readonly state: { readonly bytes: number; readonly sha256: string; readonly entries: number; readonly hash: number }
}

export interface BackupManifest {
  readonly format: typeof FORMAT
  readonly version: string
  readonly clusterId: string
  /** ISO 8601. Everything that was acknowledged before this is in the backup. */
  readonly startedAt: string
  readonly finishedAt: string
  /** Topics that were there and were not asked for. */
  readonly leftOut: readonly string[]
  /** The catalogue first. */
  readonly groups: readonly BackupGroup[]
}

const count: v.GenericSchema<number> = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const sha256: v.GenericSchema<string> = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const base64: v.GenericSchema<string> = v.pipe(v.string(), v.base64())
const position = { index: count, term: count, chain: count, timestamp: count, nextOffset: count }

const GroupSchema: v.GenericSchema<BackupGroup> = v.strictObject({
  group: count,
  topic: v.string(),
  partition: count,
  base: v.strictObject({ ...position, configuration: base64, configurationIndex: count }),
  point: v.strictObject(position),
  configuration: v.strictObject({ index: count, bytes: base64 }),
  frames: v.strictObject({ bytes: count, sha256, count, records: count }),
  state: v.strictObject({ bytes: count, sha256, entries: count, hash: count }),
})

const ManifestSchema: v.GenericSchema<BackupManifest> = v.strictObject({
  format: v.literal(FORMAT),
  version: v.string(),
  clusterId: v.string(),
  startedAt: v.string(),
  finishedAt: v.string(),
  leftOut: v.array(v.string()),
  groups: v.pipe(v.array(GroupSchema), v.minLength(1)),
})

/** Paths in the backup, with `/`. */
export function groupFiles(group: number): { readonly state: string; readonly frames: string } {
  return { state: `${GROUPS_FOLDER}/${group}.state`, frames: `${GROUPS_FOLDER}/${group}.frames` }
}

export function manifestBytes(manifest: Omit<BackupManifest, 'format'>): Buffer {
  return Buffer.from(`${JSON.stringify({ format: FORMAT, ...manifest }, null, 1)}\n`)
}

/** @throws BackupError DAMAGED where it is no manifest, or one of another format */
export function readManifest(bytes: Uint8Array): BackupManifest {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch (error) {
    throw new BackupError('DAMAGED', `${MANIFEST_FILE} is not JSON`, error)
  }
  const parsed = v.safeParse(ManifestSchema, value)
  if (parsed.success) return parsed.output
  const [issue] = parsed.issues
  const where = (issue && v.getDotPath(issue)) ?? 'as a whole'
  throw new BackupError('DAMAGED', `${MANIFEST_FILE}, ${where}: ${issue?.message ?? 'wrong'}`)
}

/** The text of `SHA256SUMS` for a manifest of these bytes. */
export function sumsText(manifest: Pick<BackupManifest, 'groups'>, bytes: Uint8Array): string {
  const lines = [`${sha256Of(bytes)}  ${MANIFEST_FILE}`]
  for (const { group, state, frames } of manifest.groups) {
    const files = groupFiles(group)
    lines.push(`${state.sha256}  ${files.state}`, `${frames.sha256}  ${files.frames}`)
  }
  return `${lines.join('\n')}\n`
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export function baseOf({ base }: BackupGroup): BaseRecord {
  return { ...base, configuration: Buffer.from(base.configuration, 'base64'), voidBelow: 0 }
}

export function positionOf({ index, term, chain, timestamp, nextOffset }: LogPosition): LogPosition {
  return { index, term, chain, timestamp, nextOffset }
}

/**
 * `millrace backup create`: copies the groups of a running cluster, one after the other, the catalogue first. Each group is
 * copied up to a point of its own, which is at or after the start, and read back before the next one begins.
 *
 * Invariant: the folder has its name only when everything in it is durable and was read back whole.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MillraceError } from '@millrace/record'
import { type CatalogueContents, catalogueOf, readState } from '@millrace/topics/offline'
import { AsideFolder } from './aside-folder.ts'
import { BackupError } from './backup-error.ts'
import { scanGroup } from './group-scan.ts'
import { type ClusterPlaces, clusterPlaces, type GroupCopy, withGroupCopy } from './group-source.ts'
import {
  type BackupGroup,
  type BackupManifest,
  GROUPS_FOLDER,
  groupFiles,
  MANIFEST_FILE,
  manifestBytes,
  positionOf,
  SUMS_FILE,
  sumsText,
} from './manifest.ts'

export interface BackupProgress {
  /** Groups that are copied, of how many. The number is known once the catalogue is. */
  readonly groups: number
  readonly groupsTotal: number
  readonly bytes: number
}

export interface CreateBackupOptions {
  /** Client addresses of nodes; the others are found through them. */
  readonly urls: readonly string[]
  /** The folder to make; nothing may be there. */
  readonly out: string
  /** Only these. Default: all topics. */
  readonly topics?: readonly string[]
  readonly onProgress?: (progress: BackupProgress) => void
  /** Ends it; what was written is removed. */
  readonly signal?: AbortSignal
}

/** Every node that has the group is asked so often, with a pause in between: two elections long. */
const ROUNDS_MAX = 6
const ROUND_PAUSE_MS = 1_000

/**
 * @returns the manifest of the finished backup
 * @throws BackupError OUT_EXISTS, UNKNOWN_TOPIC, SOURCE_FAILED; MillraceError UNREACHABLE. Nothing is left at `out` then
 */
export async function createBackup(options: CreateBackupOptions): Promise<BackupManifest> {
  const folder = await AsideFolder.make(options.out)
  try {
    await folder.makeFolder(GROUPS_FOLDER)
    return await new BackupRun(options, folder).run()
  } catch (error) {
    await folder.remove()
    throw error
  }
}

interface GroupPlan {
  readonly group: number
  readonly topic: string
  readonly partition: number
  /** Where it may run, in the order in which they are asked. */
  readonly urls: readonly string[]
}

class BackupRun {
  readonly #options: CreateBackupOptions
  readonly #folder: AsideFolder
  readonly #signal: AbortSignal
  readonly #groups: BackupGroup[] = []
  #bytes = 0
  #version = ''
  #groupsTotal = 1

  constructor(options: CreateBackupOptions, folder: AsideFolder) {
    this.#options = options
    this.#folder = folder
    this.#signal = options.signal ?? new AbortController().signal
  }

  async run(): Promise<BackupManifest> {
    const startedAt = new Date().toISOString()
    const places = await this.#places()
    const urls = [...new Set([...this.#options.urls, ...places.nodes.map(({ url }) => url)])]
    await this.#copy({ group: 0, topic: '', partition: 0, urls }, places.clusterId)
    const catalogue = await this.#catalogue()
    const topics = chosen(catalogue, this.#options.topics)
    const plans = plansOf(catalogue, topics, places)
    this.#groupsTotal = 1 + plans.length
    for (const plan of plans) await this.#copy(plan, places.clusterId)
    const leftOut = catalogue.topics.map(({ info }) => info.name).filter(name => !topics.has(name))
    return await this.#finish({ startedAt, clusterId: places.clusterId, leftOut })
  }

  async #finish(about: Pick<BackupManifest, 'startedAt' | 'clusterId' | 'leftOut'>): Promise<BackupManifest> {
    const finishedAt = new Date().toISOString()
    const manifest = { format: 1, version: this.#version, ...about, finishedAt, groups: this.#groups } as const
    const bytes = manifestBytes(manifest)
    await this.#folder.write(MANIFEST_FILE, [bytes])
    await this.#folder.write(SUMS_FILE, [Buffer.from(sumsText(manifest, bytes))])
    this.#signal.throwIfAborted()
    await this.#folder.finish([GROUPS_FOLDER])
    return manifest
  }

  async #places(): Promise<ClusterPlaces> {
    let failure: unknown
    for (const url of this.#options.urls) {
      try {
        return await clusterPlaces(url, this.#signal)
      } catch (error) {
        this.#signal.throwIfAborted()
        failure = error
      }
    }
    throw failure
  }

  /** From one node after the other until one gives all of it. */
  async #copy(plan: GroupPlan, clusterId: string): Promise<void> {
    let failure: unknown
    for (let round = 0; round < ROUNDS_MAX; round++) {
      if (round > 0) await sleep(ROUND_PAUSE_MS, undefined, { signal: this.#signal })
      for (const url of plan.urls) {
        const before = this.#bytes
        try {
          this.#groups.push(await this.#copyFrom(url, plan, clusterId))
          this.#tell()
          return
        } catch (error) {
          this.#signal.throwIfAborted()
          if (!(error instanceof MillraceError)) throw error
          failure = error
          this.#bytes = before
        }
      }
    }
    const reason = failure instanceof Error ? failure.message : 'it lives nowhere'
    const advice = plan.topic === '' ? 'see cluster status' : 'if its topic was deleted meanwhile, run the backup again'
    throw new BackupError('SOURCE_FAILED', `${nameOf(plan)} cannot be copied: ${reason}; ${advice}`, failure)
  }

  async #copyFrom(url: string, plan: GroupPlan, clusterId: string): Promise<BackupGroup> {
    const { group, topic, partition } = plan
    const files = groupFiles(group)
    return await withGroupCopy(url, group, this.#signal, async copy => {
      if (copy.clusterId !== clusterId) {
        throw new BackupError('SOURCE_FAILED', `${url} is of cluster ${copy.clusterId}, not of ${clusterId}`)
      }
      this.#version = copy.version
      const state = await this.#folder.write(files.state, this.#counted(copy.state))
      const frames = await this.#folder.write(files.frames, this.#counted(copy.frames))
      const { base, point, stateHash } = copy
      const scan = await scanGroup(this.#folder.path, { group, base, point, stateHash })
      const written = { state: state.sha256, frames: frames.sha256 }
      const read = { state: scan.state.sha256, frames: scan.frames.sha256 }
      for (const part of ['state', 'frames'] as const) {
        if (read[part] === written[part]) continue
        const path = join(this.#folder.path, files[part])
        throw new BackupError('DAMAGED', `${path} does not read as it was written: the disk cannot be trusted`)
      }
      const [damage] = scan.damage
      if (damage !== undefined) throw new MillraceError('INTERNAL', `what ${url} sent is not whole: ${damage.what}`)
      const { state: stateFile, frames: framesFile, configuration } = scan
      return {
        ...{ group, topic, partition, base: baseJson(copy), point: positionOf(point) },
        ...{ configuration, frames: framesFile, state: stateFile },
      }
    })
  }

  async *#counted(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      this.#bytes += piece.length
      this.#tell()
      yield piece
    }
  }

  #tell(): void {
    const groups = this.#groups.length
    this.#options.onProgress?.({ groups, groupsTotal: this.#groupsTotal, bytes: this.#bytes })
  }

  async #catalogue(): Promise<CatalogueContents> {
    const path = join(this.#folder.path, groupFiles(0).state)
    return catalogueOf((await readState(createReadStream(path) as AsyncIterable<Buffer>)).stored)
  }
}

/** @throws BackupError UNKNOWN_TOPIC */
function chosen({ topics }: CatalogueContents, wanted: readonly string[] | undefined): ReadonlySet<string> {
  const names = topics.map(({ info }) => info.name)
  for (const name of wanted ?? []) {
    if (names.includes(name)) continue
    throw new BackupError('UNKNOWN_TOPIC', `there is no topic ${name}; there are ${names.join(', ') || 'none'}`)
  }
  return new Set(wanted ?? names)
}

/** The node that is asked first changes with the partition, so that all of them share the work. */
function plansOf(catalogue: CatalogueContents, topics: ReadonlySet<string>, places: ClusterPlaces): GroupPlan[] {
  const urls = new Map(catalogue.nodes.map(({ node, clientUrl }) => [node, clientUrl]))
  for (const { node, url } of places.nodes) urls.set(node, url)
  return catalogue.topics
    .filter(({ info }) => topics.has(info.name))
    .flatMap(({ info }) =>
      info.partitions.map(({ partition, group, replicas }) => {
        const first = partition % replicas.length
        const order = [...replicas.slice(first), ...replicas.slice(0, first)]
        return { group, topic: info.name, partition, urls: order.flatMap(({ node }) => urls.get(node) ?? []) }
      }),
    )
}

function baseJson({ base }: GroupCopy): BackupGroup['base'] {
  const configuration = Buffer.from(base.configuration).toString('base64')
  return { ...positionOf(base), configuration, configurationIndex: base.configurationIndex }
}

function nameOf({ topic, partition }: GroupPlan): string {
  return topic === '' ? 'the catalogue' : `${topic}/${partition}`
}

/** A snapshot's content as a stream, and a stream as a snapshot: one piece in memory at a time. */
import type { SnapshotHead, SnapshotInfo, SnapshotReader, SnapshotStore } from '@millrace/log-store'

const READ_BYTES = 256 * 1024

/** The content of an open snapshot, in order. */
export async function* contentOf(reader: SnapshotReader): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < reader.info.contentBytes; ) {
    const bytes = await reader.read(at, READ_BYTES)
    at += bytes.length
    yield bytes
  }
}

/**
 * Writes and commits a snapshot. What was written of one that fails is removed.
 *
 * @throws whatever the content or the store throws
 */
export async function writeSnapshot(
  store: SnapshotStore,
  head: SnapshotHead,
  content: AsyncIterable<Uint8Array>,
): Promise<SnapshotInfo> {
  const sink = await store.create(head)
  try {
    for await (const bytes of content) await sink.write(bytes)
    return await sink.commit()
  } catch (error) {
    await sink.abort()
    throw error
  }
}

/** Equal for equal content of equal position. */
export function snapshotId({ index, term, contentBytes, contentChecksum }: SnapshotInfo): string {
  return [index, term, contentBytes, contentChecksum].map(part => part.toString(16)).join('-')
}

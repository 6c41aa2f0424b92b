/**
 * A folder that gets its name when everything in it is durable. Until then it has another one, in `.partial`, which tells
 * people and tools what it is.
 */
import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { syncFolder } from '../node/durable-file.ts'
import { BackupError } from './backup-error.ts'

/** Bytes written, and their checksum as they were handed over. */
export interface WrittenFile {
  readonly bytes: number
  readonly sha256: string
}

export class AsideFolder {
  readonly path: string
  readonly #final: string

  private constructor(final: string) {
    this.#final = final
    this.path = `${final}.partial`
  }

  /** @throws BackupError OUT_EXISTS, also where a backup of the same name was broken off or still goes on */
  static async make(out: string): Promise<AsideFolder> {
    const folder = new AsideFolder(resolve(out))
    if (await exists(folder.#final)) throw new BackupError('OUT_EXISTS', `${out} is there already: choose another name`)
    await mkdir(dirname(folder.#final), { recursive: true })
    try {
      await mkdir(folder.path, 0o700)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
      const what = `${folder.path} is of a backup that was broken off, or still goes on`
      throw new BackupError('OUT_EXISTS', `${what}: remove it, or choose another name`, error)
    }
    return folder
  }

  async makeFolder(name: string): Promise<void> {
    await mkdir(join(this.path, name), 0o700)
  }

  /** Writes the file anew. Durable when the promise resolves. */
  async write(name: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<WrittenFile> {
    const hash = createHash('sha256')
    let bytes = 0
    const file = await open(join(this.path, name), 'w', 0o600)
    try {
      for await (const piece of pieces) {
        hash.update(piece)
        await writeAll(file, piece)
        bytes += piece.length
      }
      await file.sync()
    } finally {
      await file.close()
    }
    return { bytes, sha256: hash.digest('hex') }
  }

  /** Makes the folders durable and gives this one its name. @param folders those made in it */
  async finish(folders: readonly string[]): Promise<void> {
    for (const name of folders) await syncFolder(join(this.path, name))
    await syncFolder(this.path)
    if (await exists(this.#final))
      throw new BackupError('OUT_EXISTS', `${this.#final} was made meanwhile by somebody else`)
    await rename(this.path, this.#final)
    await syncFolder(dirname(this.#final))
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true })
  }
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let at = 0; at < piece.length; ) at += (await file.write(piece, at)).bytesWritten
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

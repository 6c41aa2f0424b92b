/** What a scenario needs of the machine: mounts, loop devices, strace; and why it has none of it. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, rmdir, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs a program. @returns null, or what it said when it failed */
export function troubleOf(program: string, args: readonly string[]): string | null {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' })
  if (error !== undefined) return error.message
  return status === 0 ? null : `${program}: ${stderr.trim().split('\n')[0] || `exit code ${status}`}`
}

/** A file system of its own, unmounted and removed at the end. */
export class MountedFolder implements AsyncDisposable {
  readonly path: string
  readonly #root: string

  private constructor(root: string) {
    this.#root = root
    this.path = join(root, 'mounted')
  }

  /** A file system in memory; a text says why there is none. */
  static async tmpfs(bytes: number): Promise<MountedFolder | string> {
    const folder = await MountedFolder.#make()
    return folder.#orTrouble(troubleOf('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder.path]))
  }

  /** An ext4 with a journal on a loop device; a text says why there is none. */
  static async ext4(bytes: number): Promise<MountedFolder | string> {
    const folder = await MountedFolder.#make()
    const image = folder.#image
    await writeFile(image, '')
    await truncate(image, bytes)
    return folder.#orTrouble(troubleOf('mkfs.ext4', ['-qF', image]) ?? folder.mount())
  }

  static async #make(): Promise<MountedFolder> {
    const folder = new MountedFolder(await mkdtemp(join(tmpdir(), 'millrace-chaos-')))
    const trouble = troubleOf('mkdir', [folder.path])
    if (trouble !== null) throw new Error(trouble)
    return folder
  }

  get #image(): string {
    return join(this.#root, 'image')
  }

  mount(): string | null {
    return troubleOf('mount', ['-o', 'loop', this.#image, this.path])
  }

  unmount(): string | null {
    return troubleOf('umount', [this.path])
  }

  /** The machine loses power: nothing more reaches the device, and what is only in memory is lost. */
  losePower(): string | null {
    const shutdown = `import fcntl, os, struct
fcntl.ioctl(os.open(${JSON.stringify(this.path)}, os.O_RDONLY), 0x8004587d, struct.pack('I', 2))`
    return troubleOf('python3', ['-c', shutdown])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.unmount()
    // Only what was made here: where something is still mounted, its content stays.
    await rmdir(this.path)
    await rm(this.#root, { recursive: true })
  }

  async #orTrouble(trouble: string | null): Promise<MountedFolder | string> {
    if (trouble === null) return this
    await this[Symbol.asyncDispose]()
    return trouble
  }
}

/** Why system calls cannot be made to fail here, or null. */
export function straceTrouble(): string | null {
  return troubleOf('strace', ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=fdatasync:error=EIO:when=1', 'true'])
}

/** What a scenario needs of the machine: mounts, loop devices, strace; and why it has none of it. */
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, rmdir, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Runs a program. @returns null, or what it said when it failed */
export function troubleOf(program: string, args: readonly string[]): string | null {
  const { trouble } = run(program, args)
  return trouble
}

function run(program: string, args: readonly string[]): { readonly trouble: string | null; readonly stdout: string } {
  const { status, error, stderr, stdout } = spawnSync(program, args, { encoding: 'utf8' })
  if (error !== undefined) return { trouble: error.message, stdout: '' }
  if (status === 0) return { trouble: null, stdout }
  return { trouble: `${program}: ${stderr.trim().split('\n')[0] || `exit code ${status}`}`, stdout }
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

  /**
   * The machine loses power: nothing more reaches the device, and what is only in memory is lost.
   *
   * @returns the moment before, on the clock of `process.hrtime`, ns. A process lives on here, as none does without power,
   *   and ext4 may tell it of an fdatasync that was under way at that moment that it succeeded, though nothing was written
   *   (so does a bare loop of write and fdatasync, about once in 40 times). Only what was answered before this moment
   *   was answered by a machine that had power.
   * @throws Error when it could not be done
   */
  losePower(): number {
    const shutdown = `import fcntl, os, struct, time
folder = os.open(${JSON.stringify(this.path)}, os.O_RDONLY)
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))`
    const { trouble, stdout } = run('python3', ['-c', shutdown])
    if (trouble !== null) throw new Error(trouble)
    return Number(stdout)
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

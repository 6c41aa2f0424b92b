/**
 * One process per folder. The lock is a listening abstract Unix socket named by the folder's device and inode: the kernel
 * drops it with the process, so a crash leaves nothing to clean up. The file `owner` says who to name; it also refuses an
 * owner that lives in another network namespace of this kernel, where the socket cannot be seen.
 *
 * Abstract sockets are Linux's. Elsewhere the owner file alone decides, by the process id.
 */
import { readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { type Disk, errnoOf, openIfThere, readWhole } from './disk.ts'
import { LogError } from './log-store.ts'

export const OWNER_FILE_NAME = 'owner'
/** Fixed, so that a full disk does not stop a node from starting: the file is written over in place. */
const OWNER_FILE_BYTES = 256

interface Owner {
  readonly pid: number
  /** Differs after each boot of the machine; empty where the system does not say. */
  readonly bootId: string
  /** Start of the process in clock ticks since boot; tells a process from a later one with the same id. */
  readonly startTicks: string
}

export interface FolderLock {
  /** Lets others open the folder. */
  release(): Promise<void>
}

/**
 * Takes the lock of a folder.
 *
 * @throws LogError `FOLDER_IN_USE` naming the process, `FOLDER_NOT_WRITABLE`
 */
export async function lockFolder(disk: Disk, folder: string): Promise<FolderLock> {
  const { dev, ino } = await stat(folder, { bigint: true })
  const previous = await readOwner(disk, folder)
  const server = process.platform === 'linux' ? await listen(`\0millrace-${dev}-${ino}`) : null
  if (server === 'taken') throw inUse(folder, previous)
  try {
    if (previous !== null && isAlive(previous)) throw inUse(folder, previous)
    await writeOwner(disk, folder, ownerOf(process.pid))
  } catch (error) {
    await closed(server)
    throw error
  }
  return {
    async release() {
      try {
        await writeOwner(disk, folder, { pid: 0, bootId: '', startTicks: '' })
      } finally {
        await closed(server)
      }
    },
  }
}

function listen(path: string): Promise<Server | 'taken'> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.once('error', error => {
      if (errnoOf(error) === 'EADDRINUSE') resolve('taken')
      else reject(error)
    })
    server.listen({ path, exclusive: true }, () => resolve(server.unref()))
  })
}

function closed(server: Server | null): Promise<void> {
  return new Promise(resolve => {
    if (server === null) resolve()
    else server.close(() => resolve())
  })
}

function inUse(folder: string, owner: Owner | null): LogError {
  const who = owner === null || owner.pid === 0 ? 'another process' : `process ${owner.pid}`
  return new LogError('FOLDER_IN_USE', `${folder} is in use by ${who}. Stop it, or choose another data folder`)
}

function isAlive(owner: Owner): boolean {
  if (owner.pid === 0 || owner.pid === process.pid) return false
  const now = ownerOf(owner.pid)
  if (process.platform === 'linux')
    return now.startTicks !== '' && now.bootId === owner.bootId && now.startTicks === owner.startTicks
  try {
    process.kill(owner.pid, 0)
    return true
  } catch (error) {
    return errnoOf(error) === 'EPERM'
  }
}

function ownerOf(pid: number): Owner {
  const bootId = readSystemFile('/proc/sys/kernel/random/boot_id').trim()
  // Field 22, counted after the command's name, which may hold anything but ends at the last parenthesis.
  const fields = readSystemFile(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')
  return { pid, bootId, startTicks: fields?.[19] ?? '' }
}

/** Empty where there is no such file: another system, or a process that is gone. */
function readSystemFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ESRCH') return ''
    throw error
  }
}

/** Null where there is none, or none that can be read: then only the socket counts. */
async function readOwner(disk: Disk, folder: string): Promise<Owner | null> {
  const bytes = await readWhole(disk, `${folder}/${OWNER_FILE_NAME}`)
  if (bytes === null) return null
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isOwner(value) ? value : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

function isOwner(value: unknown): value is Owner {
  if (typeof value !== 'object' || value === null) return false
  return 'pid' in value && typeof value.pid === 'number' && 'bootId' in value && 'startTicks' in value
}

async function writeOwner(disk: Disk, folder: string, owner: Owner): Promise<void> {
  const path = `${folder}/${OWNER_FILE_NAME}`
  const bytes = new TextEncoder().encode(`${JSON.stringify(owner).padEnd(OWNER_FILE_BYTES - 1)}\n`)
  const file = (await openIfThere(disk, path, 'write')) ?? (await disk.open(path, 'create'))
  try {
    await file.writev([bytes], 0)
  } finally {
    await file.close()
  }
}

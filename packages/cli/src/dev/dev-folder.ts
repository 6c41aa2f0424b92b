/**
 * The folder of `millrace dev`. A marker file says that `dev` made it; nothing in a folder without one is ever written
 * or deleted. One process at a time uses it.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'

const MARKER = 'millrace-dev.json'
const FORMAT = 1

/** What the marker remembers of the cluster in the folder. */
interface DevMarker {
  readonly format: number
  readonly nodes: number
  /** The cluster has been founded: from here on only `--fresh` starts another one. */
  readonly founded: boolean
  /** Nodes may run: set before the first starts, cleared when the last has stopped. */
  readonly running: boolean
}

export interface DevFolder {
  readonly path: string
  /** Undefined in a new folder. */
  readonly marker: DevMarker | undefined
  writeMarker(marker: Omit<DevMarker, 'format'>): void
  /** Lets other processes use the folder. */
  release(): Promise<void>
}

/**
 * Takes the folder for this process.
 *
 * @param fresh empty it first
 * @throws CliError when another `dev` uses it, or when it holds something and was not made by `dev`
 */
export async function openDevFolder(dir: string, { fresh }: { readonly fresh: boolean }): Promise<DevFolder> {
  const path = resolve(dir)
  makeFolder(path)
  const lock = await lockFolder(path, dir)
  try {
    const marker = readMarker(path)
    if (marker === undefined && readdirSync(path).some(name => !name.startsWith(MARKER)))
      throw new CliError(
        `${dir} is not empty and was not made by millrace dev; choose another folder with --dir`,
        EXIT.usage,
      )
    // A founding that was interrupted is begun anew: nothing was ever stored there.
    const isNew = fresh || marker?.founded !== true
    if (isNew) {
      emptyFolder(path)
      // From now on the folder is ours, whatever happens before the cluster is founded.
      writeMarker(path, { nodes: 0, founded: false, running: false })
    }
    return {
      path,
      marker: isNew ? undefined : marker,
      writeMarker: content => writeMarker(path, content),
      release: () => new Promise(done => lock.close(() => done())),
    }
  } catch (error) {
    lock.close()
    throw error
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError(`cannot make the folder ${path}: ${reason}`, EXIT.failed, { cause: error })
  }
}

/** Deletes what `dev` made. The marker goes last, so that an interrupted deletion can be repeated. */
function emptyFolder(path: string): void {
  for (const name of readdirSync(path)) if (name !== MARKER) rmSync(join(path, name), { recursive: true })
  rmSync(join(path, MARKER), { force: true })
}

function writeMarker(path: string, content: Omit<DevMarker, 'format'>): void {
  const marker: DevMarker = { format: FORMAT, ...content }
  writeFileSync(join(path, `${MARKER}.tmp`), `${JSON.stringify(marker, undefined, 2)}\n`)
  renameSync(join(path, `${MARKER}.tmp`), join(path, MARKER))
}

function readMarker(path: string): DevMarker | undefined {
  const file = join(path, MARKER)
  if (statSync(file, { throwIfNoEntry: false }) === undefined) return undefined
  try {
    const marker = JSON.parse(readFileSync(file, 'utf8')) as DevMarker
    if (marker.format === FORMAT && Number.isInteger(marker.nodes)) return marker
  } catch (error) {
    throw new CliError(`${file} cannot be read; remove it or choose another folder with --dir`, EXIT.failed, {
      cause: error,
    })
  }
  throw new CliError(`${file} was written by another version of millrace; choose another folder with --dir`)
}

/**
 * A lock that ends with the process, however it ends: a listening socket whose name is derived from the folder's device
 * and inode. Linux and Windows drop the name themselves; elsewhere it is a file, which is stale when nobody answers.
 */
async function lockFolder(path: string, shown: string): Promise<Server> {
  const { dev, ino } = statSync(path)
  const address = lockAddress(`millrace-dev-${dev}-${ino}`)
  try {
    return await listenOn(address)
  } catch (error) {
    if (!isInUse(error)) throw error
    if (process.platform !== 'win32' && isAbsolute(address) && !(await answers(address))) {
      rmSync(address, { force: true })
      return await listenOn(address)
    }
    throw new CliError(`another millrace dev uses ${shown}; stop it or choose another folder with --dir`, EXIT.inUse)
  }
}

function lockAddress(name: string): string {
  if (process.platform === 'linux') return `\0${name}`
  return process.platform === 'win32' ? `\\\\?\\pipe\\${name}` : join(tmpdir(), `${name}.sock`)
}

function listenOn(address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(socket => socket.destroy())
    server.once('error', reject)
    server.listen(address, () => resolve(server.unref()))
  })
}

function answers(address: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(address, () => resolve(socket.destroy() !== undefined))
    socket.once('error', () => resolve(false))
  })
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
}

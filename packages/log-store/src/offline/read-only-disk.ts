/**
 * A disk that cannot be written to: tools that look at a folder get this one, so that no code they reuse can change a
 * byte of it, whatever it would do in a running node.
 */
import type { Disk, DiskFile } from '../disk.ts'
import { OWNER_FILE_NAME } from '../folder-lock.ts'

/** `disk` for reading. `onRead` hears of every read, with the number of bytes. */
export function readOnlyDisk(disk: Disk, onRead: (bytes: number) => void = () => undefined): Disk {
  return {
    async open(path, mode) {
      if (mode === 'read') return readOnlyFile(await disk.open(path, 'read'), onRead)
      // Taking the folder's lock leaves a note of the owner. The lock itself is a socket, and holds without the note.
      if (path.endsWith(`/${OWNER_FILE_NAME}`)) return NOWHERE
      throw refused(path)
    },
    list: path => disk.list(path),
    freeBytes: path => disk.freeBytes(path),
    makeFolder: path => Promise.reject(refused(path)),
    rename: path => Promise.reject(refused(path)),
    removeFile: path => Promise.reject(refused(path)),
    removeFolder: path => Promise.reject(refused(path)),
    syncFolder: path => Promise.reject(refused(path)),
  }
}

function readOnlyFile(file: DiskFile, onRead: (bytes: number) => void): DiskFile {
  return {
    async read(into, position) {
      const count = await file.read(into, position)
      onRead(count)
      return count
    },
    writev: () => Promise.reject(refused('an open file')),
    datasync: () => Promise.reject(refused('an open file')),
    size: () => file.size(),
    names: () => file.names(),
    close: () => file.close(),
  }
}

const NOWHERE: DiskFile = {
  read: async () => 0,
  writev: async () => undefined,
  datasync: async () => undefined,
  size: async () => 0,
  names: async () => 1,
  close: async () => undefined,
}

function refused(path: string): Error {
  return Object.assign(new Error(`${path} is open for reading only`), { code: 'EROFS' })
}

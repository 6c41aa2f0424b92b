/** What Linux says about the memory that a process has now. */
import { readFileSync } from 'node:fs'

/** Resident bytes of the process. @throws where it is not there, or this is not Linux */
export function residentBytes(pid: number): number {
  const file = `/proc/${pid}/status`
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(file, 'utf8'))?.[1]
  if (kib === undefined) throw new Error(`${file} says nothing of VmRSS: process ${pid} has ended`)
  return Number(kib) * 1_024
}

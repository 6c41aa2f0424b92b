/** The thread behind lifeline.ts: waits for the end of the pipe, then stops its own process. */
import { Socket } from 'node:net'
import { workerData } from 'node:worker_threads'
import type { LifelineOptions } from './lifeline.ts'

const { fd, graceMs } = workerData as LifelineOptions

let ending = false

function endProcess(): void {
  if (ending) return
  ending = true
  process.kill(process.pid, 'SIGTERM')
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), graceMs)
}

// A reset instead of an orderly end says the same: the other side is gone.
new Socket({ fd, readable: true, writable: false })
  .on('end', endProcess)
  .on('close', endProcess)
  .on('error', endProcess)
  .resume()

/**
 * Loaded into every process that is profiled, before its own modules (`--import` in NODE_OPTIONS). Does nothing until it is
 * asked to, over a socket of its own in the folder that the environment names. Threads other than the main one are left alone.
 */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { isMainThread } from 'node:worker_threads'
import { awaitStreams, type Counts, startCounting } from './counters.ts'
import { type Answer, PROBES_FOLDER, type Question, socketOf } from './probe-questions.ts'

const folder = process.env[PROBES_FOLDER]
if (isMainThread && folder !== undefined) {
  awaitStreams()
  const server = createServer(answerAll)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socketOf(folder, process.pid), resolve)
  })
  // The process ends as it would without this.
  server.unref()
}

let session: Session | undefined
let stopCounting: (() => Counts) | undefined

async function answer(question: Question): Promise<Counts | undefined> {
  switch (question.type) {
    case 'start':
      session = new Session()
      session.connect()
      await session.post('Profiler.enable')
      await session.post('Profiler.setSamplingInterval', { interval: question.intervalUs })
      await session.post('Profiler.start')
      return undefined
    case 'stop': {
      if (session === undefined) throw new Error('no profile is being taken')
      const { profile } = await session.post('Profiler.stop')
      session.disconnect()
      session = undefined
      writeFileSync(question.file, JSON.stringify(profile))
      return undefined
    }
    case 'count':
      stopCounting = startCounting()
      return undefined
    case 'counted': {
      const counts = stopCounting?.()
      stopCounting = undefined
      return counts
    }
  }
}

function answerAll(socket: Socket): void {
  socket.unref()
  // Whoever asked has gone; there is nobody to tell.
  socket.on('error', () => socket.destroy())
  createInterface({ input: socket }).on('line', line => {
    const say = (said: Answer): void => {
      socket.write(`${JSON.stringify(said)}\n`)
    }
    answer(JSON.parse(line) as Question).then(
      counts => say(counts === undefined ? { ok: true } : { ok: true, counts }),
      error => say({ ok: false, message: String(error) }),
    )
  })
}

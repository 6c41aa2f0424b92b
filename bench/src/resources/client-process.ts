/**
 * A client that is loaded before the nodes are started: makes a new topic and appends one record to it as soon as that can
 * be done, and answers when it was, by the clock that all processes share.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, text } from '@millrace/client'
import type { Answer } from '../catch-up/asked-process.ts'
import { monotonicMs } from '../peers/process-figures.ts'

export interface FirstAppend {
  readonly urls: readonly string[]
  readonly topic: string
}

const AGAIN_MS = 10
const LIMIT_MS = 60_000

/** @returns when the record was acknowledged */
async function firstAppend({ urls, topic }: FirstAppend): Promise<number> {
  await using client = connect(urls)
  await untilDone(() => client.topics.ensure(topic, { partitions: 1 }))
  await untilDone(() => client.topic(topic, { value: text }).append({ value: 'first' }))
  return monotonicMs()
}

async function untilDone(what: () => Promise<unknown>): Promise<void> {
  const deadlineMs = monotonicMs() + LIMIT_MS
  for (;;) {
    try {
      await what()
      return
    } catch (error) {
      if (monotonicMs() > deadlineMs) throw error
    }
    await sleep(AGAIN_MS)
  }
}

function answer(message: Answer): void {
  process.send?.(message)
}

process.on('message', ({ id, ...request }: FirstAppend & { readonly id: number }) => {
  firstAppend(request).then(
    result => answer({ id, result }),
    (error: unknown) => answer({ id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
answer({ id: 0 })

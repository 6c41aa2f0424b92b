/** The process of one system's client, as the benchmark sees it: orders in, figures out. */
import { type ChildProcess, fork } from 'node:child_process'
import type { ClientConfig, FromClient, Measured, Metered, Order, ToClient, WindowEdge } from './orders.ts'

/** Above any turn: a workload with its warm-up and the check of everything it wrote. */
const ORDER_LIMIT_MS = 300_000
const START_LIMIT_MS = 90_000

/** What a client has to wait for in the middle of an order. */
export interface OrderEvents {
  /** A node leads and records flow; resolves with the time at which it was killed. */
  leading?(node: number): Promise<number>
  /** What is measured begins when this has resolved, or has ended. */
  window?(edge: WindowEdge): Promise<void>
}

export class ClientHandle {
  readonly #child: ChildProcess
  #said: (message: FromClient) => void = () => undefined
  #lost: (error: Error) => void = () => undefined
  #end: Error | undefined

  private constructor(config: ClientConfig) {
    // A process group of its own: Ctrl-C reaches the benchmark alone, which ends everything in order.
    this.#child = fork(new URL('client-process.ts', import.meta.url), [JSON.stringify(config)], {
      execArgv: process.execArgv,
      env: { ...process.env, KAFKAJS_NO_PARTITIONER_WARNING: '1', NODE_NO_WARNINGS: '1' },
      detached: true,
    })
    this.#child.on('message', message => this.#said(message as FromClient))
    this.#child.on('error', error => this.#ended(error))
    this.#child.on('exit', code => this.#ended(new Error(`the client of ${config.system} ended with ${code}`)))
  }

  /**
   * Resolves when the client is connected.
   *
   * @param check throws where waiting has become hopeless
   */
  static async start(config: ClientConfig, check: () => void, signal: AbortSignal): Promise<ClientHandle> {
    const client = new ClientHandle(config)
    const timer = setInterval(() => {
      try {
        check()
      } catch (error) {
        client.#lost(error as Error)
      }
    }, 200)
    try {
      await client.#until(message => (message.type === 'ready' ? true : undefined), START_LIMIT_MS, signal)
      return client
    } catch (error) {
      await client.end()
      throw error
    } finally {
      clearInterval(timer)
    }
  }

  async carryOut(order: Order, metered: Metered, signal: AbortSignal, events: OrderEvents = {}): Promise<Measured> {
    const measured = this.#until(
      message => {
        if (message.type === 'leading') this.#answer(events.leading?.(message.node), atMs => ({ type: 'killed', atMs }))
        if (message.type === 'window') this.#answer(events.window?.(message), () => ({ type: 'proceed' }))
        return message.type === 'measured' ? message.measured : undefined
      },
      ORDER_LIMIT_MS,
      signal,
    )
    this.#send({ ...order, metered, windowed: events.window !== undefined })
    return await measured
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** SIGKILL: there is nothing that it should still do. Resolves when it is gone. */
  async end(): Promise<void> {
    if (this.#end !== undefined) return
    const gone = new Promise<void>(resolve => this.#child.once('exit', () => resolve()))
    this.#child.kill('SIGKILL')
    await gone
  }

  #answer<T>(event: Promise<T> | undefined, answer: (result: T) => ToClient): void {
    event?.then(
      result => this.#send(answer(result)),
      error => this.#lost(error as Error),
    )
  }

  #send(message: ToClient): void {
    if (this.#end === undefined) this.#child.send(message)
  }

  #ended(error: Error): void {
    this.#end ??= error
    this.#lost(this.#end)
  }

  #until<T>(take: (message: FromClient) => T | undefined, limitMs: number, signal: AbortSignal): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const late = (): void => reject(new Error(`the client did not answer within ${limitMs / 1_000} s`))
    const timer = setTimeout(late, limitMs)
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop)
    this.#lost = reject
    this.#said = message => {
      if (message.type === 'failed') return reject(new Error(message.message))
      const taken = take(message)
      if (taken !== undefined) resolve(taken)
    }
    if (signal.aborted) stop()
    if (this.#end !== undefined) reject(this.#end)
    return promise.finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    })
  }
}

/** A process of the tour as the tour sees it: a child that is given a job and says when it is done. */
import { join } from 'node:path'
import { CliError } from '../cli-error.ts'
import { type Child, describeExit, startChild } from '../process/child.ts'
import { program } from '../process/entry-point.ts'
import type { TourJob } from './tour-messages.ts'

export interface TourProcess<Incoming extends { readonly type: string }> {
  readonly child: Child
  /**
   * The first message of a type, also one that has come already.
   *
   * @throws CliError when the process ends without sending it
   */
  message<Type extends Incoming['type']>(type: Type): Promise<Extract<Incoming, { readonly type: Type }>>
  /** Forgets a message, so that the next of its type is waited for. */
  forget(type: Incoming['type']): void
}

/** Starts `module`, relative to the sources, with a job; the signal ends it. Its output goes to a file beside the ledger. */
export async function startTourProcess<Incoming extends { readonly type: string }>(
  name: string,
  module: string,
  job: TourJob,
  signal: AbortSignal,
): Promise<TourProcess<Incoming>> {
  const inbox = new Map<string, PromiseWithResolvers<Incoming>>()
  const slot = (type: string): PromiseWithResolvers<Incoming> => {
    const known = inbox.get(type) ?? Promise.withResolvers<Incoming>()
    inbox.set(type, known)
    return known
  }
  const child = await startChild({
    entry: program(module, JSON.stringify(job)),
    logFile: `${join(job.ledger, '..', name)}.log`,
    onMessage: message => slot((message as Incoming).type).resolve(message as Incoming),
  })
  signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true })
  const ended = child.exited.then(exit => {
    const words = child.lastWords()
    throw new CliError(`the ${name} ended with ${describeExit(exit)}${words === '' ? '' : `: ${words}`}`)
  })
  // Whoever waits for a message sees it; the end of a process that has said everything is no error.
  ended.catch(() => undefined)
  return {
    child,
    message: async type =>
      (await Promise.race([slot(type).promise, ended])) as Extract<Incoming, { readonly type: typeof type }>,
    forget: type => inbox.delete(type),
  }
}

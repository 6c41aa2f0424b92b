/**
 * Tells people when a command waits for the cluster, and when it goes on. Short gaps, such as an election, are not worth
 * a line. Decides nothing.
 */
import type { ClientStatus } from '@millrace/client'
import type { Observable } from 'rxjs'

const WORTH_A_LINE_MS = 2000

/** Notes troubles until it is disposed of. */
export function noteTroubles(
  status$: Observable<ClientStatus>,
  note: (line: string) => void,
  afterMs: number = WORTH_A_LINE_MS,
): Disposable {
  let timer: NodeJS.Timeout | undefined
  let noted = false
  const settle = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (noted) note('millrace: connected again')
    noted = false
  }
  const subscription = status$.subscribe(status => {
    if (status.state === 'connected') settle()
    if (status.state !== 'reconnecting' || timer !== undefined || noted) return
    timer = setTimeout(() => {
      timer = undefined
      noted = true
      note(`millrace: waiting for the cluster (${status.what}: ${status.reason})`)
    }, afterMs)
  })
  return {
    [Symbol.dispose]() {
      subscription.unsubscribe()
      clearTimeout(timer)
    },
  }
}

/** What clients saw of registers: the input of `checkLinearizable`. A register holds a value, or null: none. */

export type RegisterValue = string | null

export type RegisterAction =
  /** `value`: what was answered. */
  | { readonly type: 'read'; readonly value: RegisterValue }
  | { readonly type: 'write'; readonly value: RegisterValue }
  /** `done`: false where the register held something else than `expected`. Of no account where the outcome is unknown. */
  | { readonly type: 'cas'; readonly expected: RegisterValue; readonly value: RegisterValue; readonly done: boolean }

export interface RegisterOperation {
  readonly key: string
  readonly action: RegisterAction
  /** When it was called, on a clock that all operations of a history share. */
  readonly calledAt: number
  /** Not before `calledAt`. Absent: the outcome is unknown, and it takes effect at any time after its call, or never. */
  readonly returnedAt?: number
  /** Who did it, for messages. */
  readonly client?: string
}

/** One line for people. */
export function describeOperation({ action, calledAt, returnedAt, client, key }: RegisterOperation): string {
  const who = client === undefined ? '' : `${client} `
  return `[${calledAt}, ${returnedAt ?? 'unknown'}] ${who}${key}: ${describeAction(action, returnedAt !== undefined)}`
}

/** One line for each, in the order of their calls, columns below each other. */
export function describeHistory(history: readonly RegisterOperation[]): string[] {
  const sorted = history.toSorted((a, b) => a.calledAt - b.calledAt)
  const times = sorted.map(({ calledAt, returnedAt }) => `${calledAt} … ${returnedAt ?? 'unknown'}`)
  const widthOf = (texts: readonly string[]): number => Math.max(0, ...texts.map(text => text.length))
  const timeWidth = widthOf(times)
  const clientWidth = widthOf(sorted.map(({ client = '' }) => client))
  return sorted.map(({ client = '', action, returnedAt }, i) => {
    const what = describeAction(action, returnedAt !== undefined)
    return `  ${times[i]!.padEnd(timeWidth)}  ${client.padEnd(clientWidth)}  ${what}`
  })
}

function describeAction(action: RegisterAction, known: boolean): string {
  switch (action.type) {
    case 'read':
      return `read ${action.value}`
    case 'write':
      return `write ${action.value}`
    case 'cas':
      return `${action.expected} → ${action.value}${known && !action.done ? ' refused' : ''}`
  }
}

/**
 * What happened, as a hash over everything and as text of the newest events. Events are kept as numbers and become text
 * only when somebody reads them: a run makes hundreds of thousands.
 */

/** A kind of event: its name and the names of its numbers, at most six. */
export interface TraceKind {
  readonly name: string
  readonly fields: readonly string[]
  readonly code: number
}

let kinds = 0

/** Declares a kind of event. Call at module level only: the hash depends on the order of the declarations. */
export function traceKind(name: string, fields: string): TraceKind {
  kinds++
  return { name, fields: fields.split(' ').filter(field => field !== ''), code: kinds }
}

interface Recorded {
  readonly atUs: number
  readonly kind: TraceKind
  readonly values: readonly number[]
}

export class TraceLog {
  readonly #capacity: number
  readonly #sink: ((line: string) => void) | undefined
  readonly #ring: Recorded[] = []
  #next = 0
  #high = 0x811c9dc5 | 0
  #low = 0x2f0b4c47 | 0

  /**
   * @param capacity how many events are kept
   * @param sink hears every event as a line of text
   */
  constructor(capacity: number, sink?: (line: string) => void) {
    this.#capacity = capacity
    this.#sink = sink
  }

  note(atUs: number, kind: TraceKind, ...values: number[]): void {
    this.#mix(kind.code)
    this.#mix(atUs)
    for (const value of values) this.#mix(value)
    const event = { atUs, kind, values }
    this.#ring[this.#next] = event
    this.#next = (this.#next + 1) % this.#capacity
    this.#sink?.(textOf(event))
  }

  /** Hash over every event so far, 16 hexadecimal digits. */
  get hash(): string {
    return hex(this.#high) + hex(this.#low)
  }

  /** The newest events as text, oldest first. */
  newest(): string[] {
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)].map(textOf)
  }

  #mix(value: number): void {
    const low = value | 0
    const high = (value / 0x1_0000_0000) | 0
    this.#low = Math.imul(this.#low ^ low, 0x01000193) ^ (this.#high >>> 15)
    this.#high = (Math.imul(this.#high ^ low ^ high, 0x85ebca6b) + this.#low) | 0
  }
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}

function textOf({ atUs, kind, values }: Recorded): string {
  const pairs = values.map((value, i) => `${kind.fields[i] ?? '?'}=${value}`)
  return `${(atUs / 1000).toFixed(3).padStart(11)} ms  ${kind.name} ${pairs.join(' ')}`
}

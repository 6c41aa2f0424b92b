/**
 * Seeded randomness. Every concern draws from a stream of its own, named when it is made, so that switching one concern
 * off leaves what the others draw as it was: that is what makes a failing run shrinkable.
 */

/** A stream of pseudo-random numbers (sfc32, Chris Doty-Humphrey), a function of seed and name alone. */
export class RandomStream {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /**
   * @param seed a safe integer ≥ 0
   * @param name the concern; different names give unrelated streams
   */
  constructor(seed: number, name: string) {
    this.#a = hashOf(name, 0x9e3779b9)
    this.#b = seed >>> 0
    this.#c = Math.floor(seed / 0x1_0000_0000) ^ hashOf(name, 0x85ebca6b)
    for (let i = 0; i < 15; i++) this.next()
  }

  /** A uniform integer in [0, 2³²). */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** A uniform number in [0, 1). */
  fraction(): number {
    return this.next() / 0x1_0000_0000
  }

  /** A uniform integer in [0, bound). */
  int(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound)
  }

  /** A uniform integer in [least, most]. */
  between(least: number, most: number): number {
    return least + this.int(most - least + 1)
  }

  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000
  }

  /** An exponentially distributed integer ≥ 1. */
  exponential(mean: number): number {
    return 1 + Math.floor(-Math.log((this.next() + 1) / 0x1_0000_0001) * mean)
  }

  /** @throws RangeError when there is nothing to choose from */
  pick<T>(from: readonly T[]): T {
    if (from.length === 0) throw new RangeError('nothing to pick from')
    return from[this.int(from.length)] as T
  }

  /** A new array with the same elements in random order. */
  shuffled<T>(elements: readonly T[]): T[] {
    const result = [...elements]
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.int(i + 1)
      const other = result[j] as T
      result[j] = result[i] as T
      result[i] = other
    }
    return result
  }
}

/** FNV-1a over the characters, with a start of its own. */
function hashOf(text: string, start: number): number {
  let hash = start | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}

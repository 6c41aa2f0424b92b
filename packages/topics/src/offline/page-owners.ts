/** Which tree each page of an LMDB file is of: one at most, or the next transaction would write over what still counts. */
import { META_PAGES } from '../lmdb-layout.ts'

export class PageOwners {
  /** Position in `#names`, plus 1. */
  readonly #owners: Uint8Array
  readonly #names: string[] = []
  readonly #lastPage: bigint

  /**
   * @param lastPage as the meta page says
   * @param filePages that the file has; it may end before free ones
   */
  constructor(lastPage: bigint, filePages: number) {
    this.#lastPage = lastPage
    this.#owners = new Uint8Array(filePages)
  }

  /** @returns why these pages cannot be `name`'s, or undefined */
  claim(first: bigint, count: bigint, name: string): string | undefined {
    const end = first + count
    if (count < 1n || first < META_PAGES || end > this.#lastPage + 1n)
      return `pages ${first} to ${end - 1n} for ${name}: the file has pages ${META_PAGES} to ${this.#lastPage}`
    if (!this.#names.includes(name)) this.#names.push(name)
    const owner = this.#names.indexOf(name) + 1
    for (let page = Number(first); page < Math.min(Number(end), this.#owners.length); page++) {
      const other = this.#owners[page]
      if (other !== 0) return `page ${page} is in use already, for ${this.#names[other! - 1]}`
      this.#owners[page] = owner
    }
    return undefined
  }
}

/**
 * Walks one tree of an LMDB file page by page and judges all that is in it: page numbers, kinds, bounds, order of the keys,
 * and at the end the counts that the meta page holds. Goes on after damage, without the subtree that is hit.
 *
 * Invariant: nothing that is read is trusted; each page is visited once, so a walk ends whatever the bytes are.
 */
import { decodePageHeader, type LmdbTree, NO_PAGE, NodeFlag, PAGE_HEADER_BYTES, PageFlag } from '../lmdb-layout.ts'
import type { LmdbFile } from './lmdb-file.ts'
import type { PageOwners } from './page-owners.ts'

const NODE_HEADER_BYTES = 8
const OVERFLOW_REFERENCE_BYTES = 24

export interface WalkContext {
  readonly file: LmdbFile
  readonly pageBytes: number
  /** The one that the meta page is of: nothing in it can be newer. */
  readonly transaction: bigint
  readonly owners: PageOwners
  damaged(position: number, what: string): void
}

export interface TreeVisitor {
  /** `free pages` or `values`, for messages. */
  readonly name: string
  compare(a: Buffer, b: Buffer): number
  /** In order of the keys. Both are the visitor's to keep. */
  entry(key: Buffer, value: Buffer, position: number): void
}

interface Node {
  readonly position: number
  readonly key: Buffer
  readonly flags: number
  /** Of a leaf, bytes of the value; of a branch, with the flags above it, the page of the child. */
  readonly low: number
  /** What follows the key in the page. */
  readonly rest: Buffer
}

interface Range {
  readonly from: Buffer | null
  /** Exclusive. */
  readonly to: Buffer | null
}

export class TreeWalk {
  readonly #context: WalkContext
  readonly #tree: LmdbTree
  readonly #visitor: TreeVisitor
  #branchPages = 0
  #leafPages = 0
  #overflowPages = 0
  #entries = 0
  #isWhole = true

  constructor(context: WalkContext, tree: LmdbTree, visitor: TreeVisitor) {
    this.#context = context
    this.#tree = tree
    this.#visitor = visitor
  }

  /** @param metaPosition of the meta page with the tree's counts */
  run(metaPosition: number): void {
    const { root, depth } = this.#tree
    if (root !== NO_PAGE) this.#page(root, Number(depth), { from: null, to: null })
    if (!this.#isWhole) return
    const { branchPages, leafPages, overflowPages, entries } = this.#tree
    const counted = [this.#branchPages, this.#leafPages, this.#overflowPages, this.#entries].map(BigInt)
    const recorded = [branchPages, leafPages, overflowPages, entries]
    if (root === NO_PAGE && depth !== 0)
      this.#damaged(metaPosition, `meta page: the empty tree of ${this.#visitor.name} has a depth of ${depth}`)
    else if (counted.some((count, at) => count !== recorded[at]))
      this.#damaged(
        metaPosition,
        `meta page: the tree of ${this.#visitor.name} has ${counted.join(' / ')} branch pages / leaf pages / overflow pages / entries, recorded are ${recorded.join(' / ')}`,
      )
  }

  #page(page: bigint, level: number, range: Range): void {
    const isLeaf = level <= 1
    const nodes = this.#nodesOf(page, isLeaf, range)
    if (typeof nodes === 'string') {
      const what = `page ${page} of ${this.#visitor.name}: ${nodes}`
      this.#damaged(Number(page) * this.#context.pageBytes, what)
    } else if (isLeaf) this.#leaf(nodes)
    else this.#branch(nodes, level, range)
  }

  #nodesOf(page: bigint, isLeaf: boolean, range: Range): readonly Node[] | string {
    const { file, pageBytes, owners } = this.#context
    const conflict = owners.claim(page, 1n, this.#visitor.name)
    if (conflict !== undefined) return conflict
    const bytes = file.read(Number(page) * pageBytes, pageBytes)
    if (bytes === null) return 'it is missing: the file is cut short'
    const nodes = this.#decode(bytes, page, isLeaf)
    return typeof nodes === 'string' ? nodes : (this.#faultOfOrder(nodes, isLeaf, range) ?? nodes)
  }

  #branch(nodes: readonly Node[], level: number, range: Range): void {
    this.#branchPages++
    for (const [at, { low, flags, key }] of nodes.entries()) {
      const child = BigInt(low) + BigInt(flags) * 0x1_0000_0000n
      this.#page(child, level - 1, { from: at === 0 ? range.from : key, to: nodes[at + 1]?.key ?? range.to })
    }
  }

  #leaf(nodes: readonly Node[]): void {
    this.#leafPages++
    for (const node of nodes) {
      this.#entries++
      const value = this.#valueOf(node)
      if (typeof value === 'string') this.#damaged(node.position, `${this.#visitor.name}: ${value}`)
      else this.#visitor.entry(node.key, value, node.position)
    }
  }

  #valueOf({ flags, low, rest }: Node): Buffer | string {
    if (flags === 0) return rest
    const { file, pageBytes, owners, transaction } = this.#context
    const first = rest.readBigUInt64LE(0)
    const writtenBy = rest.readBigUInt64LE(8)
    const pages = rest.readBigUInt64LE(16)
    const expected = BigInt(Math.ceil((PAGE_HEADER_BYTES + low) / pageBytes))
    if (pages !== expected) return `a value of ${low} bytes in ${pages} pages`
    const conflict = owners.claim(first, pages, this.#visitor.name)
    if (conflict !== undefined) return conflict
    const bytes = file.read(Number(first) * pageBytes, PAGE_HEADER_BYTES + low)
    if (bytes === null) return `overflow page ${first} is missing: the file is cut short`
    const header = decodePageHeader(bytes)
    if (header.page !== first || header.flags !== PageFlag.overflow || BigInt(header.pages) !== pages)
      return `page ${first} is not the overflow page that it should be`
    if (header.transaction !== writtenBy || writtenBy > transaction)
      return `overflow page ${first} is of transaction ${header.transaction}, not of ${writtenBy}`
    this.#overflowPages += Number(pages)
    return bytes.subarray(PAGE_HEADER_BYTES)
  }

  #decode(bytes: Buffer, page: bigint, isLeaf: boolean): readonly Node[] | string {
    const header = decodePageHeader(bytes)
    const wanted = isLeaf ? PageFlag.leaf : PageFlag.branch
    if (header.page !== page) return `it says that it is page ${header.page}`
    if (header.flags !== wanted) return `flags ${header.flags}, not those of a ${isLeaf ? 'leaf' : 'branch'}`
    if (header.transaction > this.#context.transaction) return `of transaction ${header.transaction}, which never was`
    const content = bytes.subarray(PAGE_HEADER_BYTES)
    const { lower, upper } = header
    if (lower === 0 || lower % 2 !== 0 || lower > upper || upper > content.length)
      return `its nodes are in bytes ${lower} to ${upper}`
    const nodes: Node[] = []
    let used = 0
    for (let at = 0; at < lower; at += 2) {
      const offset = content.readUInt16LE(at)
      const node = offset < upper ? `a node at ${offset}` : nodeAt(content, offset, isLeaf)
      if (typeof node === 'string') return node
      used += even(NODE_HEADER_BYTES + node.key.length + node.rest.length)
      nodes.push({ ...node, position: Number(page) * this.#context.pageBytes + PAGE_HEADER_BYTES + offset })
    }
    return used === content.length - upper ? nodes : `its nodes fill ${used} bytes of ${content.length - upper}`
  }

  #faultOfOrder(nodes: readonly Node[], isLeaf: boolean, { from, to }: Range): string | undefined {
    const { compare } = this.#visitor
    // The first key of a branch stands for everything below the second, and is empty.
    const keys = nodes.slice(isLeaf ? 0 : 1).map(node => node.key)
    if (keys.some((key, at) => at > 0 && compare(keys[at - 1]!, key) >= 0)) return 'its keys are out of order'
    const [first, last] = [keys[0], keys.at(-1)]
    if (first === undefined || last === undefined) return 'it is a branch with one child'
    if ((from !== null && compare(first, from) < 0) || (to !== null && compare(last, to) >= 0))
      return 'its keys are not those that the page above it names'
    return undefined
  }

  #damaged(position: number, what: string): void {
    this.#isWhole = false
    this.#context.damaged(position, what)
  }
}

function nodeAt(content: Buffer, offset: number, isLeaf: boolean): Omit<Node, 'position'> | string {
  if (offset % 2 !== 0 || offset + NODE_HEADER_BYTES > content.length) return `a node at ${offset}`
  const low = content.readUInt32LE(offset)
  const flags = content.readUInt16LE(offset + 4)
  const keyStart = offset + NODE_HEADER_BYTES
  const keyEnd = keyStart + content.readUInt16LE(offset + 6)
  if (isLeaf && flags !== 0 && flags !== NodeFlag.overflow) return `a node at ${offset} with flags ${flags}`
  const restBytes = !isLeaf ? 0 : flags === 0 ? low : OVERFLOW_REFERENCE_BYTES
  if (keyEnd + restBytes > content.length) return `the node at ${offset} ends outside`
  return { key: content.subarray(keyStart, keyEnd), flags, low, rest: content.subarray(keyEnd, keyEnd + restBytes) }
}

function even(bytes: number): number {
  return bytes + (bytes & 1)
}

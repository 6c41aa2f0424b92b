/**
 * The bytes of an LMDB file, as much of them as is needed to read one without the library. Of liblmdb's MDB_page,
 * MDB_meta, MDB_db, MDB_node and MDB_ovpage (data version 2, which lmdb 3.5 writes), on 64-bit little-endian machines.
 *
 * Two meta pages, written in turns, each the root of one committed transaction; the one with the higher transaction id
 * counts. Two trees: of free pages, and of values. Page and tree have no checksums.
 */

/** Of every page, before its content; offsets in a page count from the end of it. */
export const PAGE_HEADER_BYTES = 24
export const META_PAGES = 2
/** Of a meta page, up to the end of what is ever written. */
export const META_BYTES: number = PAGE_HEADER_BYTES + 144
export const TREE_DEPTH_MAX = 32
/** The root of an empty tree. */
export const NO_PAGE = 0xffff_ffff_ffff_ffffn

export const LMDB_MAGIC = 0xbeef_c0de
export const LMDB_DATA_VERSION = 2

export const PageFlag = { branch: 0x01, leaf: 0x02, overflow: 0x04, meta: 0x08 } as const
export const NodeFlag = { overflow: 0x01 } as const

export interface LmdbPageHeader {
  readonly page: bigint
  /** Transaction that wrote it. */
  readonly transaction: bigint
  readonly pad: number
  readonly flags: number
  /** End of the offsets of nodes, and start of the nodes. */
  readonly lower: number
  readonly upper: number
  /** Of an overflow page, in place of `lower` and `upper`: how many pages it spans. */
  readonly pages: number
}

export interface LmdbTree {
  readonly pad: number
  readonly flags: number
  readonly depth: number
  readonly branchPages: bigint
  readonly leafPages: bigint
  readonly overflowPages: bigint
  readonly entries: bigint
  /** {@link NO_PAGE} where the tree is empty. */
  readonly root: bigint
}

export interface LmdbMeta {
  readonly header: LmdbPageHeader
  readonly magic: number
  readonly version: number
  readonly mapBytes: bigint
  /** Its `pad` is the page size. */
  readonly free: LmdbTree
  readonly values: LmdbTree
  readonly lastPage: bigint
  readonly transaction: bigint
}

/** `bytes`: {@link PAGE_HEADER_BYTES} at least. */
export function decodePageHeader(bytes: Buffer): LmdbPageHeader {
  return {
    page: bytes.readBigUInt64LE(0),
    transaction: bytes.readBigUInt64LE(8),
    pad: bytes.readUInt16LE(16),
    flags: bytes.readUInt16LE(18),
    lower: bytes.readUInt16LE(20),
    upper: bytes.readUInt16LE(22),
    pages: bytes.readUInt32LE(20),
  }
}

/** `bytes`: {@link META_BYTES} at least, from the start of the page. */
export function decodeMeta(bytes: Buffer): LmdbMeta {
  const meta = bytes.subarray(PAGE_HEADER_BYTES)
  return {
    header: decodePageHeader(bytes),
    magic: meta.readUInt32LE(0),
    version: meta.readUInt32LE(4),
    mapBytes: meta.readBigUInt64LE(16),
    free: decodeTree(meta.subarray(24)),
    values: decodeTree(meta.subarray(72)),
    lastPage: meta.readBigUInt64LE(120),
    transaction: meta.readBigUInt64LE(128),
  }
}

function decodeTree(bytes: Buffer): LmdbTree {
  return {
    pad: bytes.readUInt32LE(0),
    flags: bytes.readUInt16LE(4),
    depth: bytes.readUInt16LE(6),
    branchPages: bytes.readBigUInt64LE(8),
    leafPages: bytes.readBigUInt64LE(16),
    overflowPages: bytes.readBigUInt64LE(24),
    entries: bytes.readBigUInt64LE(32),
    root: bytes.readBigUInt64LE(40),
  }
}

export function isPageSize(bytes: number): boolean {
  return bytes >= 4_096 && bytes <= 65_536 && (bytes & (bytes - 1)) === 0
}

/** CRC-32 (IEEE, reflected, polynomial 0xEDB88320) where Node's native one is missing. Slicing by four. */

const TABLES = makeTables()

function makeTables(): readonly Uint32Array[] {
  const tables = [new Uint32Array(256), new Uint32Array(256), new Uint32Array(256), new Uint32Array(256)] as const
  for (let i = 0; i < 256; i++) {
    let c = i
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1
    tables[0][i] = c
  }
  for (let i = 0; i < 256; i++) {
    for (let t = 1; t < 4; t++) {
      const previous = tables[t - 1]![i]!
      tables[t]![i] = (previous >>> 8) ^ tables[0][previous & 0xff]!
    }
  }
  return tables
}

/**
 * Checksum of `data`, continuing from `seed` (the checksum of what came before; 0 at the start).
 *
 * @returns an unsigned 32-bit integer, equal to `zlib.crc32(data, seed)`
 */
export function crc32(data: Uint8Array, seed = 0): number {
  const [t0, t1, t2, t3] = TABLES as [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  let c = ~seed
  let i = 0
  for (const end = data.length - 3; i < end; i += 4) {
    c ^= data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24)
    c = t3[c & 0xff]! ^ t2[(c >>> 8) & 0xff]! ^ t1[(c >>> 16) & 0xff]! ^ t0[c >>> 24]!
  }
  for (; i < data.length; i++) c = t0[(c ^ data[i]!) & 0xff]! ^ (c >>> 8)
  return ~c >>> 0
}

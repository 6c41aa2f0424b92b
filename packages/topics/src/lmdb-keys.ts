/** Keys of the LMDB file of checkpoints: the group, then the key of the entry. */

/** Of the group, before the key of the entry. */
export const GROUP_BYTES = 8

/** Big-endian, so that a group's entries lie together. */
export function fullKey(group: number, key: Uint8Array): Buffer {
  const full = Buffer.allocUnsafe(GROUP_BYTES + key.length)
  full.writeUInt32BE(Math.floor(group / 0x1_0000_0000), 0)
  full.writeUInt32BE(group % 0x1_0000_0000, 4)
  full.set(key, GROUP_BYTES)
  return full
}

/** `full`: {@link GROUP_BYTES} at least. */
export function groupOfKey(full: Buffer): number {
  return full.readUInt32BE(0) * 0x1_0000_0000 + full.readUInt32BE(4)
}

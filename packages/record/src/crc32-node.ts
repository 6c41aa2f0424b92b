/** CRC-32 (IEEE) of Node, native: about 4 GB/s. */
export { crc32 } from 'node:zlib'

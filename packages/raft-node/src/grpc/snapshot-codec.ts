/** Snapshot calls as bytes. They are few and their chunks large, so the generated code is fast enough. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import {
  GroupConfigurationSchema,
  InstallSnapshotRequestSchema,
  InstallSnapshotResponseSchema,
  type SnapshotHeader,
} from '@millrace/proto'
import type { SnapshotAnswer, SnapshotChunk, SnapshotOffer } from '../snapshot-calls.ts'

/** The offer as field `header` of a request. */
export function encodeOffer({ group, from, to, term, snapshotId, info, stateOnly = false }: SnapshotOffer): Uint8Array {
  const header = {
    ...{ group: BigInt(group), from, to, term: BigInt(term), snapshotId },
    index: BigInt(info.index),
    indexTerm: BigInt(info.term),
    configurationIndex: BigInt(info.configurationIndex),
    configuration: fromBinary(GroupConfigurationSchema, info.configuration),
    length: BigInt(info.contentBytes),
    checksum: info.contentChecksum,
    chain: info.chain,
    timestamp: BigInt(info.timestamp),
    nextOffset: BigInt(info.nextOffset),
    stateOnly,
  }
  return toBinary(InstallSnapshotRequestSchema, create(InstallSnapshotRequestSchema, { header }))
}

/** The offer in a first message. @throws Error where there is none, or a number in it is too large */
export function decodeOffer(bytes: Uint8Array): SnapshotOffer {
  const { header } = fromBinary(InstallSnapshotRequestSchema, bytes)
  if (header?.configuration === undefined) throw new Error('the call does not begin with a snapshot header')
  const { from, to, snapshotId, checksum, chain, configuration, stateOnly } = header
  const info = {
    index: safe(header, 'index'),
    term: safe(header, 'indexTerm'),
    chain,
    timestamp: safe(header, 'timestamp'),
    nextOffset: safe(header, 'nextOffset'),
    configuration: toBinary(GroupConfigurationSchema, configuration),
    configurationIndex: safe(header, 'configurationIndex'),
    contentBytes: safe(header, 'length'),
    contentChecksum: checksum,
  }
  const offer = { group: safe(header, 'group'), from, to, term: safe(header, 'term'), snapshotId, info }
  return stateOnly ? { ...offer, stateOnly } : offer
}

export function encodeChunk({ offset, data, crc, done }: SnapshotChunk): Buffer {
  return asBuffer(
    toBinary(
      InstallSnapshotRequestSchema,
      create(InstallSnapshotRequestSchema, { offset: BigInt(offset), data, crc, done }),
    ),
  )
}

/** @throws Error */
export function decodeChunk(bytes: Uint8Array): SnapshotChunk {
  const { offset, data, crc, done } = fromBinary(InstallSnapshotRequestSchema, bytes)
  return { offset: safeNumber('offset', offset), data, crc, done }
}

export function encodeAnswer({ term, received, done, refused }: SnapshotAnswer): Buffer {
  const answer = { term: BigInt(term), received: BigInt(received), done, refused: refused ?? '' }
  return asBuffer(toBinary(InstallSnapshotResponseSchema, create(InstallSnapshotResponseSchema, answer)))
}

/** @throws Error */
export function decodeAnswer(bytes: Uint8Array): SnapshotAnswer {
  const answer = fromBinary(InstallSnapshotResponseSchema, bytes)
  const { done, refused } = answer
  const term = safeNumber('term', answer.term)
  const received = safeNumber('received', answer.received)
  return { term, received, done, ...(refused !== '' && { refused }) }
}

type NumberField = {
  [K in keyof SnapshotHeader]: SnapshotHeader[K] extends bigint ? K : never
}[keyof SnapshotHeader]

function safe(header: SnapshotHeader, field: NumberField & string): number {
  return safeNumber(field, header[field])
}

function safeNumber(field: string, value: bigint): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${field} ${value} is no safe integer`)
  return number
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

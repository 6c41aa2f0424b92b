import { create, toBinary } from '@bufbuild/protobuf'
import { GroupConfigurationSchema } from '@millrace/proto'
import type { ConfigChange } from '@millrace/raft-core'
import { expect, test } from 'vitest'
import { birthRecord } from './birth-record.ts'
import { decodeConfigurationRecord, decodeGroupConfiguration, encodeGroupConfiguration } from './configuration-codec.ts'
import type { GroupConfiguration } from './group-handle.ts'

const JOINT: GroupConfiguration = {
  voters: [1, 2, 4],
  votersOutgoing: [1, 2, 3],
  learners: [5],
  learnersNext: [3],
  autoLeave: true,
  places: [1, 2, 3, 4, 5].map(replica => ({ replica, node: replica * 10, address: `127.0.0.${replica}:7080` })),
  leaseReads: true,
  lastReplica: 9,
}

test('a configuration comes back as it was, with its change', () => {
  const change: ConfigChange = {
    steps: [
      { kind: 'addVoter', id: 4 },
      { kind: 'addLearner', id: 5 },
      { kind: 'remove', id: 3 },
      { kind: 'update', id: 1 },
    ],
    transition: 'explicit',
  }
  expect(decodeConfigurationRecord(encodeGroupConfiguration(JOINT, change))).toEqual({ configuration: JOINT, change })
  expect(decodeGroupConfiguration(encodeGroupConfiguration(JOINT))).toEqual(JOINT)
})

test('what this version cannot obey is refused', () => {
  const noVoters = encodeGroupConfiguration({ ...JOINT, voters: [] })
  expect(() => decodeGroupConfiguration(noVoters)).toThrow('without voters')
  const unknownStep = toBinary(
    GroupConfigurationSchema,
    create(GroupConfigurationSchema, { voters: [1], steps: [{ kind: 9 as never, replica: 1 }] }),
  )
  expect(() => decodeGroupConfiguration(unknownStep)).toThrow('unknown configuration step 9')
  const newerPlace = Uint8Array.from([...encodeGroupConfiguration(JOINT), 0x32, 2, 0x78, 1])
  expect(() => decodeGroupConfiguration(newerPlace)).toThrow('place of a replica has fields 15')
  const newerField = Uint8Array.from([...encodeGroupConfiguration(JOINT), 0xf8, 0x06, 1])
  expect(() => decodeGroupConfiguration(newerField)).toThrow('fields 111 that this version does not know')
})

test('what a configuration says beside its members is left out where there is nothing to say', () => {
  const plain = { ...JOINT, places: [{ replica: 1, node: 10 }] }
  const { leaseReads, lastReplica, ...least } = plain
  expect([leaseReads, lastReplica]).toEqual([true, 9])
  expect(decodeGroupConfiguration(encodeGroupConfiguration(least))).toEqual(least)
})

test('the birth record is the same wherever it is made, and different for every group, cluster and creation', () => {
  const birth = { clusterId: 'c', group: 3, createIndex: 9, createTimestamp: 1_000, configuration: JOINT }
  const record = birthRecord(birth)
  expect(birthRecord({ ...birth, configuration: structuredClone(JOINT) })).toEqual(record)
  expect(record).toMatchObject({ index: 1, term: 1, nextOffset: 0, configurationIndex: 1, voidBelow: 0 })
  const chains = [birth, { ...birth, clusterId: 'd' }, { ...birth, group: 4 }, { ...birth, createIndex: 10 }]
  expect(new Set(chains.map(other => birthRecord(other).chain)).size).toBe(4)
  expect(decodeGroupConfiguration(record.configuration)).toEqual(JOINT)
})

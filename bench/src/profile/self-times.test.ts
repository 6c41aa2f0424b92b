import { expect, test } from 'vitest'
import { type CpuProfile, selfTimes } from './self-times.ts'

const ROOT = frame('(root)', '', -1)
const GROUP = 'file:///home/me/a%20checkout/packages/raft-node/src/grpc/peer-stream.ts'
const GRPC = 'file:///x/node_modules/.pnpm/@grpc+grpc-js@1.0.0/node_modules/@grpc/grpc-js/build/src/call.js'

function frame(functionName: string, url: string, lineNumber = 0): CpuProfile['nodes'][number]['callFrame'] {
  return { functionName, url, lineNumber }
}

/** Samples of 10 µs each: one node after another. */
function profileOf(nodes: CpuProfile['nodes'], samples: readonly number[]): CpuProfile {
  return { nodes, samples, timeDeltas: samples.map(() => 10), startTime: 1_000, endTime: 1_010 + samples.length * 10 }
}

test('a sample counts for the time until the next one', () => {
  const nodes = [
    { id: 1, callFrame: ROOT, children: [2, 3] },
    { id: 2, callFrame: frame('send', GROUP, 6) },
    { id: 3, callFrame: frame('(idle)', '', -1) },
  ]
  const times = selfTimes({ nodes, startTime: 100, endTime: 160, samples: [2, 3, 2], timeDeltas: [5, 7, 30] })
  const [send, idle] = [times.functions.find(({ name }) => name === 'send'), times.functions.find(isIdle)]
  expect(send?.selfUs).toBe(7 + (160 - 142))
  expect(idle?.selfUs).toBe(30)
  expect([times.us, times.busyUs]).toEqual([55, 25])
})

test('a function that calls itself counts once in its total', () => {
  const nodes = [
    { id: 1, callFrame: ROOT, children: [2] },
    { id: 2, callFrame: frame('walk', GROUP), children: [3] },
    { id: 3, callFrame: frame('other', GROUP), children: [4] },
    { id: 4, callFrame: frame('walk', GROUP) },
  ]
  const { functions } = selfTimes(profileOf(nodes, [2, 3, 4, 4]))
  const figures = functions.map(({ name, selfUs, totalUs }) => [name, selfUs, totalUs])
  expect(figures).toEqual([
    ['walk', 30, 40],
    ['other', 10, 30],
  ])
})

test('one function in several places of the tree is one line', () => {
  const nodes = [
    { id: 1, callFrame: ROOT, children: [2, 3] },
    { id: 2, callFrame: frame('one', GROUP), children: [4] },
    { id: 3, callFrame: frame('two', GROUP), children: [5] },
    { id: 4, callFrame: frame('copy', GRPC, 22) },
    { id: 5, callFrame: frame('copy', GRPC, 22) },
  ]
  const { functions } = selfTimes(profileOf(nodes, [4, 5, 5]))
  expect(functions).toEqual([
    { package: '@grpc/grpc-js', file: 'build/src/call.js', name: 'copy', line: 23, selfUs: 30, totalUs: 30 },
  ])
})

test('packages are told from paths, and what V8 does from functions without a name', () => {
  const nodes = [
    { id: 1, callFrame: ROOT, children: [2, 3, 4, 5, 6, 7] },
    { id: 2, callFrame: frame('a', GROUP, 0) },
    { id: 3, callFrame: frame('b', 'node:internal/http2/core', 1) },
    { id: 4, callFrame: frame('writev', '', -1) },
    { id: 5, callFrame: frame('', '', -1) },
    { id: 6, callFrame: frame('(garbage collector)', '', -1) },
    { id: 7, callFrame: frame('worker', 'file:///x/bench/src/peers/workloads.ts', 1) },
  ]
  const { packages, functions } = selfTimes(profileOf(nodes, [2, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7]))
  expect(packages.map(({ name, selfUs }) => [name, selfUs])).toEqual([
    ['raft-node', 40],
    ['node', 30],
    ['native', 20],
    ['(garbage collector)', 10],
    ['bench', 10],
  ])
  expect(functions[0]).toMatchObject({ file: 'grpc/peer-stream.ts', line: 1 })
})

test('a native function is told by what called it', () => {
  const nodes = [
    { id: 1, callFrame: ROOT, children: [2, 3] },
    { id: 2, callFrame: frame('flush', GROUP, 4), children: [4] },
    { id: 3, callFrame: frame('read', GROUP, 8), children: [5] },
    { id: 4, callFrame: frame('copy', '', -1) },
    { id: 5, callFrame: frame('copy', '', -1) },
  ]
  const { functions } = selfTimes(profileOf(nodes, [4, 4, 5]))
  expect(functions.map(({ name, caller, selfUs }) => [name, caller?.name, caller?.line, selfUs])).toEqual([
    ['copy', 'flush', 5, 20],
    ['copy', 'read', 9, 10],
  ])
})

function isIdle({ name }: { readonly name: string }): boolean {
  return name === '(idle)'
}

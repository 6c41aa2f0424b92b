/**
 * Where the time of one CPU profile went: for each function the time in itself, and the time in it and all that it called.
 * The time of a sample is that which passed until the next one, as in the tools of browsers.
 */

/** What of the V8 format (`.cpuprofile`) is read here. Times are microseconds. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: CallFrame
    readonly children?: readonly number[]
  }[]
  readonly startTime: number
  readonly endTime: number
  /** Ids of nodes. */
  readonly samples: readonly number[]
  /** Time before each sample. */
  readonly timeDeltas: readonly number[]
}

interface CallFrame {
  readonly functionName: string
  readonly url: string
  /** From 0. */
  readonly lineNumber: number
}

/** One function, or one of V8's states such as `(garbage collector)`. */
export interface Spent {
  /** `raft-node`, `@grpc/grpc-js`, `node` for its own modules in JavaScript, `native` for what is not JavaScript. */
  readonly package: string
  /** Within the package; empty for what is native. */
  readonly file: string
  readonly name: string
  /** From 1; 0 for what is native. */
  readonly line: number
  /** Of a native function: what called it, which says more than its name. */
  readonly caller?: Omit<Spent, 'selfUs' | 'totalUs' | 'caller'>
  readonly selfUs: number
  readonly totalUs: number
}

export interface SelfTimes {
  /** Of the whole profile. */
  readonly us: number
  /** In which the main thread waited for nothing, except perhaps for a processor. */
  readonly busyUs: number
  /** Largest self time first. */
  readonly functions: readonly Spent[]
  /** Sums of the functions, largest first. */
  readonly packages: readonly { readonly name: string; readonly selfUs: number }[]
}

/** V8's own: the main thread waits for events. */
export const IDLE = '(idle)'
const STATES: ReadonlySet<string> = new Set([IDLE, '(program)', '(garbage collector)'])

export function selfTimes(profile: CpuProfile): SelfTimes {
  const selfOfNode = timesOfNodes(profile)
  const functions = new Map<string, Spent & { selfUs: number; totalUs: number }>()
  const nodes = new Map(profile.nodes.map(node => [node.id, node]))
  const spentOf = (frame: CallFrame, caller: CallFrame | undefined): Spent & { selfUs: number; totalUs: number } => {
    const isCalled = caller !== undefined && frame.url === '' && !STATES.has(frame.functionName)
    const key = isCalled ? `${keyOf(frame)} < ${keyOf(caller)}` : keyOf(frame)
    const known = functions.get(key)
    if (known !== undefined) return known
    const spent = { ...placeOf(frame), ...(isCalled ? { caller: placeOf(caller) } : {}), selfUs: 0, totalUs: 0 }
    functions.set(key, spent)
    return spent
  }
  /** Adds up a node and all below it. A function that calls itself counts once. */
  const add = (id: number, callers: Set<Spent>, caller?: CallFrame): number => {
    const node = nodes.get(id)!
    const spent = spentOf(node.callFrame, caller)
    const isOutermost = !callers.has(spent)
    if (isOutermost) callers.add(spent)
    const selfUs = selfOfNode.get(id) ?? 0
    let totalUs = selfUs
    for (const child of node.children ?? []) totalUs += add(child, callers, node.callFrame)
    spent.selfUs += selfUs
    if (isOutermost) {
      spent.totalUs += totalUs
      callers.delete(spent)
    }
    return totalUs
  }
  const children = new Set(profile.nodes.flatMap(node => node.children ?? []))
  for (const { id } of profile.nodes) if (!children.has(id)) add(id, new Set())
  const found = [...functions.values()].filter(spent => spent.name !== '(root)')
  const us = [...selfOfNode.values()].reduce((sum, one) => sum + one, 0)
  const idleUs = found.find(spent => spent.name === IDLE)?.selfUs ?? 0
  return {
    us,
    busyUs: us - idleUs,
    functions: found.filter(spent => spent.selfUs > 0).toSorted((a, b) => b.selfUs - a.selfUs),
    packages: sumByPackage(found),
  }
}

function timesOfNodes({ samples, timeDeltas, startTime, endTime }: CpuProfile): Map<number, number> {
  const times = new Map<number, number>()
  let atUs = startTime
  for (const [at, id] of samples.entries()) {
    atUs += timeDeltas[at] ?? 0
    const untilUs = at + 1 < samples.length ? (timeDeltas[at + 1] ?? 0) : Math.max(0, endTime - atUs)
    // Samples of several threads of V8 may be a little out of order.
    times.set(id, (times.get(id) ?? 0) + Math.max(0, untilUs))
  }
  return times
}

function sumByPackage(functions: readonly Spent[]): SelfTimes['packages'] {
  const sums = new Map<string, number>()
  for (const spent of functions) {
    // What V8 did, and what nothing was done in, are no package.
    const name = STATES.has(spent.name) && spent.package === 'native' ? spent.name : spent.package
    sums.set(name, (sums.get(name) ?? 0) + spent.selfUs)
  }
  return [...sums]
    .map(([name, selfUs]) => ({ name, selfUs }))
    .filter(({ selfUs }) => selfUs > 0)
    .toSorted((a, b) => b.selfUs - a.selfUs)
}

function keyOf({ functionName, url, lineNumber }: CallFrame): string {
  return `${functionName} ${url} ${lineNumber}`
}

function placeOf({ functionName, url, lineNumber }: CallFrame): NonNullable<Spent['caller']> {
  const name = functionName === '' ? '(anonymous)' : functionName
  const line = lineNumber + 1
  if (url === '') return { package: 'native', file: '', name, line: 0 }
  if (url.startsWith('node:')) return { package: 'node', file: url.slice('node:'.length), name, line }
  const path = decodeURI(url.replace(/^file:\/\//, ''))
  const installed = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(.*)$/.exec(path)
  if (installed !== null) return { package: installed[1]!, file: installed[2]!, name, line }
  const own = /.*\/(?:packages\/([^/]+)|(bench))\/(?:src|dist)\/(.*)$/.exec(path)
  if (own !== null) return { package: own[1] ?? own[2]!, file: own[3]!, name, line }
  return { package: 'other', file: path, name, line }
}

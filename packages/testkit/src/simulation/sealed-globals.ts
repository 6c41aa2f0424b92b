/**
 * Runs something with the world shut out: clocks, randomness and timers throw while it runs. What passes is a function of
 * its arguments. Microtasks stay: their order is a function of the program.
 */

const FORBIDDEN: readonly (readonly [owner: object, name: string])[] = [
  [Date, 'now'],
  [Math, 'random'],
  [performance, 'now'],
  [globalThis, 'setTimeout'],
  [globalThis, 'setInterval'],
  [globalThis, 'setImmediate'],
]

/** @param run its result is passed on, and so is what it throws; nothing else of the thread may run meanwhile */
export async function withoutAmbience<T>(run: () => Promise<T>): Promise<T> {
  const restores = FORBIDDEN.map(([owner, name]) => shutOut(owner, name))
  try {
    return await run()
  } finally {
    for (const restore of restores) restore()
  }
}

function shutOut(owner: object, name: string): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(owner, name)
  Object.defineProperty(owner, name, {
    configurable: true,
    writable: true,
    value: () => {
      throw new Error(`${name} was called in a simulation: everything must come from its seed`)
    },
  })
  return () => {
    if (descriptor === undefined) Reflect.deleteProperty(owner, name)
    else Object.defineProperty(owner, name, descriptor)
  }
}

/**
 * Runs something with the world shut out: clocks, randomness and timers throw while it runs. What passes is a function of
 * its arguments.
 */

const FORBIDDEN: readonly (readonly [owner: object, name: string])[] = [
  [Date, 'now'],
  [Math, 'random'],
  [performance, 'now'],
  [globalThis, 'setTimeout'],
  [globalThis, 'setInterval'],
  [globalThis, 'setImmediate'],
  [globalThis, 'queueMicrotask'],
]

/** @param run synchronous; its result is passed on, and so is what it throws */
export function withoutAmbience<T>(run: () => T): T {
  const restores = FORBIDDEN.map(([owner, name]) => shutOut(owner, name))
  try {
    return run()
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

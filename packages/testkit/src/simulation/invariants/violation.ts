/** The end of a run: an invariant that does not hold. */

export class Violation extends Error {
  /** The name of the invariant; a run is made smaller only as long as the same one breaks. */
  readonly invariant: string

  constructor(invariant: string, detail: string, options?: ErrorOptions) {
    super(`${invariant}: ${detail}`, options)
    this.name = 'Violation'
    this.invariant = invariant
  }
}

/** @throws Violation unless `holds`; the detail is made only then */
export function invariant(holds: boolean, name: string, detail: () => string): asserts holds {
  if (!holds) throw new Violation(name, detail())
}

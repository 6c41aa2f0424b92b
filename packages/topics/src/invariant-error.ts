/**
 * A broken assertion: the code, or the data it stands on, contradicts itself. Thrown from `apply` it halts the replica.
 * Never caught to go on.
 */
export class InvariantError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'InvariantError'
  }
}

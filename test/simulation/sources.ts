/** The sources that a run is made of: those of the checkout, or a copy of some packages with a defect in it. */
import { pathToFileURL } from 'node:url'
import type * as simulation from '../../packages/testkit/src/simulation/index.ts'

/** A folder with `packages` in it, absolute. */
export type Sources = string

/** The checkout's own. */
export const CHECKOUT: Sources = new URL('../..', import.meta.url).pathname.replace(/\/$/, '')

export type Library = typeof simulation

export async function load(sources: Sources): Promise<Library> {
  const index = `${sources}/packages/testkit/src/simulation/index.ts`
  return (await import(pathToFileURL(index).href)) as Library
}

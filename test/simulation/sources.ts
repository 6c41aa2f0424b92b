/** The sources that a run is made of: those of the checkout, or a copy with a defect in it. */
import { pathToFileURL } from 'node:url'
import type * as core from '../../packages/raft-core/src/index.ts'
import type * as simulation from '../../packages/testkit/src/simulation/index.ts'

/** Folders of sources, absolute. */
export interface Sources {
  readonly core: string
  readonly simulation: string
}

/** The checkout's own. */
export const CHECKOUT: Sources = {
  core: new URL('../../packages/raft-core/src', import.meta.url).pathname,
  simulation: new URL('../../packages/testkit/src/simulation', import.meta.url).pathname,
}

export interface Library {
  readonly simulation: typeof simulation
  readonly RaftGroup: typeof core.RaftGroup
}

export async function load(sources: Sources): Promise<Library> {
  const { RaftGroup } = (await import(pathToFileURL(`${sources.core}/index.ts`).href)) as typeof core
  const library = (await import(pathToFileURL(`${sources.simulation}/index.ts`).href)) as typeof simulation
  return { simulation: library, RaftGroup }
}

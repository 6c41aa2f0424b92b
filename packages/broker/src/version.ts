/** The version of this software, as its package says. */
import { readFileSync } from 'node:fs'

interface Manifest {
  readonly version: string
}

// Both src/ and dist/ stand directly below the package.
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as Manifest

export const VERSION: string = manifest.version

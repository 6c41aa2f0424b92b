/** The version of this software, as its package says. */
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'

interface Manifest {
  readonly version: string
}

// The closest to this file: this package's, or that of the program that holds it. They have one version.
const manifest = JSON.parse(readFileSync(findPackageJSON('.', import.meta.url)!, 'utf8')) as Manifest

export const VERSION: string = manifest.version

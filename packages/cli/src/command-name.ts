/** How the person at this terminal starts the command again: what examples must begin with to be pasted. */
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { FROM_SOURCES } from './process/entry-point.ts'

/** `millrace`, `pnpm millrace`, or `npx -y pnpm@12 millrace` where no pnpm is installed. */
export function commandName(env: NodeJS.ProcessEnv = process.env, fromSources: boolean = FROM_SOURCES): string {
  if (!fromSources) return 'millrace'
  return hasPnpm(env.PATH ?? '') ? 'pnpm millrace' : 'npx -y pnpm@12 millrace'
}

/** Folders that npx and package scripts put in front of PATH are not there in another terminal. */
function hasPnpm(path: string): boolean {
  const own = path.split(delimiter).filter(folder => !/[\\/](_npx|node_modules|node-gyp-bin)([\\/]|$)/.test(folder))
  return own.some(folder => existsSync(join(folder, process.platform === 'win32' ? 'pnpm.cmd' : 'pnpm')))
}

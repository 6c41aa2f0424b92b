/** What `dev` says once the cluster serves: where everything is, and three things to try that can be pasted. */
import type { NodeLayout } from '../cluster/node-layout.ts'
import { tableLines } from '../terminal/table.ts'
import type { Terminal } from '../terminal/terminal.ts'

/** The port at which commands look when they are not told. */
export const DEFAULT_PORT = 7070

export interface BannerFacts {
  readonly layouts: readonly NodeLayout[]
  readonly folder: string
  readonly topic: string
  /** How the reader starts millrace, such as `pnpm millrace`. */
  readonly command: string
  /** Whether this run founded the cluster or found it in the folder. */
  readonly founded: boolean
}

export function printBanner(terminal: Terminal, { layouts, folder, topic, command, founded }: BannerFacts): void {
  const port = layouts[0]?.ports.client ?? DEFAULT_PORT
  const url = port === DEFAULT_PORT ? '' : ` --url http://127.0.0.1:${port}`
  const rows = layouts.map(({ node, clientUrl, adminUrl }) => [String(node), clientUrl, `${adminUrl}/metrics`])
  const table = tableLines([{ title: 'node' }, { title: 'client' }, { title: 'metrics' }], rows)
  const origin = founded ? `new, in ${folder}` : `as it was, in ${folder}; --fresh empties it`
  terminal.print(
    `${terminal.paint('bold', `Millrace: ${layouts.length} ${layouts.length === 1 ? 'node' : 'nodes'}`)} (${origin})`,
  )
  terminal.print('')
  for (const [at, line] of table.entries()) terminal.print(`  ${at === 0 ? terminal.paint('dim', line) : line}`)
  terminal.print('')
  terminal.print(`Topic ${terminal.paint('bold', topic)} is there. Try, in another terminal:`)
  terminal.print('')
  const base = `localhost:${port}/v1/topics/${topic}/records`
  for (const line of [
    `seq 1000 | ${command} append ${topic}${url}`,
    `${command} tail ${topic} --from earliest${url}`,
    `curl --data-binary 'hello' ${base}`,
    `curl -N '${base}?from=earliest&live=true'`,
  ])
    terminal.print(`  ${terminal.paint('cyan', line)}`)
  terminal.print('')
  terminal.print(terminal.paint('dim', `Ctrl-C stops all nodes. Logs: ${folder}/node-*/node.log`))
}

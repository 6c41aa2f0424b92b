/** `millrace cluster add-node`, `replace-node` and `remove-node`: who belongs to the cluster, changed while it runs. */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AdmitNodeResponseSchema,
  DescribeMembersResponseSchema,
  type NodeStatusResponse,
  RemoveNodeResponseSchema,
} from '@millrace/proto'
import { Command, Option } from 'commander'
import { type MemberProgress, memberProgress } from '../cluster/member-progress.ts'
import { askAny, call, describeCluster, nodeStatus } from '../cluster/node-api.ts'
import { parseCount } from '../quantities.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { urlOption, urlsFrom } from './common-options.ts'

interface MemberOptions {
  readonly url?: string
  readonly wait: boolean
}

const HIGHEST_NODE = 65_535
const LOOK_AGAIN_MS = 500

export function memberCommands(terminal: Terminal): readonly Command[] {
  return [
    memberCommand('add-node', 'let a new node into the cluster, and wait until it takes part', (node, options) =>
      admit(terminal, node, false, options),
    ),
    memberCommand(
      'replace-node',
      'let a new data folder take the place of a node whose folder is lost, and wait until it has everything',
      (node, options) => admit(terminal, node, true, options),
    ),
    memberCommand(
      'remove-node',
      'give the replicas of a node to the others, and wait until it can be switched off',
      (node, options) => remove(terminal, node, options),
    ),
  ]
}

type Action = (node: number, options: MemberOptions) => Promise<void>

function memberCommand(name: string, description: string, action: Action): Command {
  return new Command(name)
    .description(description)
    .argument('<NODE>', 'number of the node', (text: string) => parseCount(text, 'NODE', 1, HIGHEST_NODE))
    .addOption(new Option('--no-wait', 'only say so to the cluster; it goes on by itself'))
    .addOption(urlOption())
    .action(action)
}

async function admit(terminal: Terminal, node: number, replace: boolean, options: MemberOptions): Promise<void> {
  const urls = urlsFrom(options.url)
  await askAny(urls, url => call(url, 'ClusterService/AdmitNode', AdmitNodeResponseSchema, { node, replace }))
  const whose = replace ? 'with an empty data folder' : 'on its machine'
  terminal.note(`node ${node} may join; ${whose}: millrace init --join ${urls[0]}, then millrace serve`)
  if (!options.wait) return
  await watch(urls, node, terminal, ({ admits, groups, settled }) => {
    if (admits) return 'waits for the node to join'
    return settled < groups ? `${settled} of ${groups} replicas have caught up` : undefined
  })
  terminal.note(`node ${node} takes part in all its groups`)
}

async function remove(terminal: Terminal, node: number, options: MemberOptions): Promise<void> {
  const urls = urlsFrom(options.url)
  await askAny(urls, url => call(url, 'ClusterService/RemoveNode', RemoveNodeResponseSchema, { node }))
  if (!options.wait) return terminal.note(`node ${node} is being removed; leave it running`)
  await watch(urls, node, terminal, ({ groups }) =>
    groups > 0 ? `${groups} groups have a replica there; leave it running` : undefined,
  )
  terminal.note(`node ${node} is removed: stop it; its data folder is not needed any more`)
}

/** Says how far it is, until `describe` has nothing more to say. */
async function watch(
  urls: readonly string[],
  node: number,
  terminal: Terminal,
  describe: (progress: MemberProgress) => string | undefined,
): Promise<void> {
  let said = ''
  for (;;) {
    const text = describe(await progressOf(urls, node))
    if (text === undefined) return
    if (text !== said) terminal.note(`node ${node}: ${text}`)
    said = text
    await sleep(LOOK_AGAIN_MS)
  }
}

async function progressOf(urls: readonly string[], node: number): Promise<MemberProgress> {
  const members = await askAny(urls, url =>
    call(url, 'ClusterService/DescribeMembers', DescribeMembersResponseSchema, {}),
  )
  const { nodes } = await askAny(urls, url => describeCluster(url))
  const asked = nodes.map(({ clientUrl }) => nodeStatus(clientUrl).catch(() => undefined))
  const statuses = (await Promise.all(asked)).filter((status): status is NodeStatusResponse => status !== undefined)
  return memberProgress(members, statuses, node)
}

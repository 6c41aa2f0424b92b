/** The command line of `pnpm bench peers`. */
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { PeerSettings } from './cluster.ts'
import type { Durability, SystemName } from './orders.ts'

export const SYSTEMS: readonly SystemName[] = ['millrace', 'bare', 'nats', 'kafka']
export const DURABILITIES: readonly Durability[] = ['same', 'own']
export const WORKLOADS = ['W1', 'W2', 'W3', 'W4', 'W5', 'W6'] as const
export type WorkloadName = (typeof WORKLOADS)[number]

export interface PeerOptions {
  readonly systems: readonly SystemName[]
  readonly workloads: readonly WorkloadName[]
  readonly durabilities: readonly Durability[]
  readonly quick: boolean
  /** Measurements of each system in each workload, of which the table shows the median. */
  readonly turns: number
  readonly peers: Omit<PeerSettings, 'durability'>
  /** On the disk that is to be measured. */
  readonly dir: string
  readonly json: string | undefined
}

const TURNS = 3
const CHECKOUT = join(import.meta.dirname, '../../..')

/** @throws RangeError or TypeError that says what is wrong and what there is */
export function peerOptions(args: readonly string[], env: NodeJS.ProcessEnv = process.env): PeerOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      systems: { type: 'string' },
      workloads: { type: 'string' },
      durability: { type: 'string' },
      quick: { type: 'boolean', default: false },
      turns: { type: 'string' },
      peers: { type: 'string' },
      dir: { type: 'string' },
      json: { type: 'string' },
    },
  })
  const turns = Number(values.turns ?? (values.quick ? 1 : TURNS))
  if (!Number.isSafeInteger(turns) || turns < 1) throw new RangeError(`--turns ${values.turns} is no number from 1 on`)
  return {
    systems: chosen('--systems', values.systems, SYSTEMS),
    workloads: chosen('--workloads', values.workloads, WORKLOADS),
    durabilities: chosen('--durability', values.durability, DURABILITIES),
    quick: values.quick,
    turns,
    peers: {
      scripts: resolve(values.peers ?? join(CHECKOUT, '../shared/peers')),
      home: env['PEERS_HOME'] ?? join(homedir(), '.peers'),
    },
    dir: resolve(values.dir ?? tmpdir()),
    json: values.json,
  }
}

/** In the order of `known`. */
function chosen<T extends string>(option: string, text: string | undefined, known: readonly T[]): readonly T[] {
  const names = text?.split(',') ?? known
  const stranger = names.find(name => !known.some(one => one === name))
  if (stranger !== undefined) throw new RangeError(`${option}: there is no ${stranger}, only ${known.join(', ')}`)
  return known.filter(name => names.includes(name))
}

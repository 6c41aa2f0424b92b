/** Three servers of one system on loopback, started for the benchmark. */
import type { ClientConfig, Durability } from './orders.ts'
import type { ServerProcess } from './server-process.ts'

export interface Cluster extends AsyncDisposable {
  /** Of the servers, and of the clients where they are separate. */
  readonly version: string
  readonly client: ClientConfig
  /** Why single ways of the client are not measured here, by their names. */
  readonly waysNotRun?: Readonly<Record<string, string>>
  /** Of peers: to see whether they still run, and what they said. */
  readonly servers?: readonly ServerProcess[]
  /** By node; 0 where a node does not run. */
  pids(): readonly number[]
  /** SIGKILL; resolves when the node is gone. Nodes count from 1. */
  kill(node: number): Promise<void>
  /** Starts a node again on its old folder; resolves when it runs, which may be before it serves. */
  restart(node: number): Promise<void>
}

/** Why a system is not measured here. */
export interface NotRun {
  readonly notRun: string
}

/** @param folder empty, for the cluster alone; removed by whoever made it */
export type StartCluster = (folder: string, peers: PeerSettings) => Promise<Cluster | NotRun>

export interface PeerSettings {
  readonly durability: Durability

  /** The scripts that install the peers, for messages: a folder for each. */
  readonly scripts: string
  /** Where they install them. */
  readonly home: string
}

export const NODES = 3

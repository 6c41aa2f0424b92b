/** `pnpm bench NAME`: runs one benchmark and prints its figures. They are ratios of this machine on this day. */
import { setFlagsFromString } from 'node:v8'
import { benchCatchUp } from './catch-up.ts'
import { benchCluster } from './cluster.ts'
import { benchCounts } from './counts.ts'
import { benchFailover } from './failover.ts'
import { benchIdleGroups } from './idle-groups.ts'
import { benchLogStore } from './log-store.ts'
import { benchMembership } from './membership.ts'
import { benchPeers } from './peers.ts'
import { benchProfile } from './profile.ts'
import { benchRaftCore } from './raft-core.ts'
import { benchRaftNode } from './raft-node.ts'
import { benchResources } from './resources.ts'
import { benchSoak } from './soak.ts'

const BENCHMARKS: Readonly<
  Record<string, { readonly what: string; run(args: readonly string[]): void | Promise<void> }>
> = {
  'catch-up': {
    what: 'a follower that lost its folder is replaced under load: 1 GiB of log, 256 MiB of state (10 min; --quick)',
    run: benchCatchUp,
  },
  cluster: { what: 'append and read through three processes; --quick for a tenth', run: benchCluster },
  counts: { what: 'copies, promises, messages and system calls for each record; W1, W2 or W5', run: benchCounts },
  failover: {
    what: 'time without an acknowledgement when the leader is killed, or stops (3 min; --quick)',
    run: benchFailover,
  },
  'idle-groups': { what: 'processor time of 500 groups in which nothing happens (1 min)', run: benchIdleGroups },
  'log-store': { what: 'the log on this disk beside a bare loop (2 min; --quick, --dir FOLDER)', run: benchLogStore },
  membership: {
    what: 'time without an acknowledgement while five nodes become three and five again (3 min; --quick)',
    run: benchMembership,
  },
  peers: { what: 'Millrace beside NATS, Kafka and bare processes (1 h; --quick), see docs', run: benchPeers },
  profile: {
    what: 'where the time goes: CPU profiles of leader, follower, client; W1, W2, W3 or W5',
    run: benchProfile,
  },
  'raft-core': { what: 'the algorithm alone: three replicas in one thread, no I/O (about 10 s)', run: benchRaftCore },
  'raft-node': {
    what: 'one group on three processes beside bare disk, TCP and gRPC (2 min; --quick, --profile)',
    run: benchRaftNode,
  },
  resources: {
    what: 'the built program: time to the first append, processor and memory when idle (5 min; --quick)',
    run: benchResources,
  },
  soak: {
    what: 'full load for minutes: throughput, memory, answers to status, leaders (7 min; --minutes, --quick, --dir FOLDER)',
    run: benchSoak,
  },
}

// As a node that is served: buffers count in the limit of the heap, so that they do not make V8 collect all of it.
setFlagsFromString('--external-memory-accounted-in-global-limit')

const name = process.argv[2]
const benchmark = name === undefined ? undefined : BENCHMARKS[name]
if (benchmark === undefined) {
  const list = Object.entries(BENCHMARKS).map(([key, { what }]) => `  ${key.padEnd(12)}${what}`)
  const help = `usage: pnpm bench NAME\n\n${list.join('\n')}\n`
  if (name === undefined || name === '--help') process.stdout.write(help)
  else {
    process.stderr.write(`no benchmark ${name}\n${help}`)
    process.exitCode = 2
  }
} else {
  await benchmark.run(process.argv.slice(3))
}

/** The log store of a node as its host sees it: everything that is written is noted before, and when it is durable. */
import type { GroupLog, LogStore, LogWrite, WriteDone } from '@millrace/log-store'

export interface WriteWatch {
  /** @returns what to call when the write is durable, before the host hears of it */
  asked(group: number, write: LogWrite): () => void
}

export function watchedStore(store: LogStore, watch: WriteWatch): LogStore {
  const logs = new WeakMap<GroupLog, GroupLog>()
  const watched = (log: GroupLog): GroupLog => {
    const known = logs.get(log) ?? replacing(log, { write: writeOf(log, watch) })
    logs.set(log, known)
    return known
  }
  return replacing(store, { groups: () => store.groups().map(watched) })
}

function writeOf(log: GroupLog, watch: WriteWatch): GroupLog['write'] {
  return (write: LogWrite, done: WriteDone) => {
    const answered = watch.asked(log.group, write)
    log.write(write, () => {
      answered()
      done()
    })
  }
}

/** An object with some methods of its own; all else goes to the one that it stands for. */
function replacing<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(key in own ? own : target, key, target)
      return typeof value === 'function' && !(key in own) ? value.bind(target) : value
    },
  })
}

/** The structured log of a node: pino on stdout unless the caller brings a logger; one line per role change. */
import type { NodeEvent } from '@millrace/raft-node'
import pino, { type Logger } from 'pino'
import type { LogLevel } from '../config/node-config.ts'

/** @param node bound to every line */
export function nodeLog(level: LogLevel, node: number): Logger {
  return pino({ level, base: { node }, timestamp: pino.stdTimeFunctions.isoTime })
}

/**
 * Raft's events as log lines. A group that says the same again (it tells that it leads, and then that it takes
 * proposals) gets its second line at `debug` only.
 */
export function raftLog(log: Logger): (event: NodeEvent) => void {
  /** Per group of this node. */
  const lastMessages = new Map<number, string>()
  return ({ level, message, group, details }) => {
    const repeated = group !== undefined && lastMessages.get(group) === message
    if (group !== undefined) lastMessages.set(group, message)
    log[repeated ? 'debug' : level]({ ...(group !== undefined && { group }), ...details }, message)
  }
}

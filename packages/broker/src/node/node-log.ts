/** The structured log of a node: pino on stdout unless the caller brings a logger; one line per role change. */
import type { NodeEvent } from '@millrace/raft-node'
import pino, { type Logger } from 'pino'
import type { LogLevel } from '../config/node-config.ts'

/** @param node bound to every line */
export function nodeLog(level: LogLevel, node: number): Logger {
  return pino({ level, base: { node }, timestamp: pino.stdTimeFunctions.isoTime })
}

/** Raft's events as log lines. */
export function raftLog(log: Logger): (event: NodeEvent) => void {
  return ({ level, message, group, details }) => {
    log[level]({ ...(group !== undefined && { group }), ...details }, message)
  }
}

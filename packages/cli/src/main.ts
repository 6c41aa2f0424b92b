#!/usr/bin/env node
/** The `millrace` command: takes the process's arguments and streams, and ends it with the exit code. */
import { collectYoungBuffersFirst } from '@millrace/client/v8'
import { useCompileCache } from './process/compilation.ts'

collectYoungBuffersFirst()
useCompileCache()
// Behind that line, so that they come out of the cache.
const { runProgram } = await import('./program.ts')
const { processTerminal } = await import('./terminal/terminal.ts')
const terminal = processTerminal()
const exitCode = await runProgram(process.argv.slice(2), terminal)
await terminal.flush()
process.exit(exitCode)

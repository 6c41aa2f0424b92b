#!/usr/bin/env node
/** The `millrace` command: takes the process's arguments and streams, and ends it with the exit code. */
import { runProgram } from './program.ts'
import { processTerminal } from './terminal/terminal.ts'

const terminal = processTerminal()
const exitCode = await runProgram(process.argv.slice(2), terminal)
await terminal.flush()
process.exit(exitCode)

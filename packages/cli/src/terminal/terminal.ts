/**
 * The only place that writes to the standard streams. Results go to stdout; progress, summaries and errors to stderr.
 * Colours appear only where the stream is a terminal (and NO_COLOR is respected). A reader that closes stdout early,
 * such as `head`, ends the process quietly.
 */
import { styleText } from 'node:util'
import { EXIT } from '../exit-code.ts'

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

export interface Terminal {
  /** Whether stdout is a terminal: decides between following and ending, live lines and plain ones. */
  readonly interactive: boolean
  /** Columns of stdout; 100 where it is not a terminal. */
  readonly columns: number
  /** One line of result. */
  print(line: string): void
  /** One line for people, on stderr. */
  note(line: string): void
  /** Result bytes as they are; resolves when the reader has room for more. */
  write(chunk: string | Uint8Array): Promise<void>
  /** Text for stdout, coloured where stdout shows colours. */
  paint(style: Style | readonly Style[], text: string): string
  /** Replaces the last line of an interactive stdout; '' removes it. Does nothing elsewhere. */
  live(line: string): void
  /** Resolves when everything written has left the process. */
  flush(): Promise<void>
}

/** The terminal of this process. Call once: it takes over the streams' error events. */
export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', endQuietlyOnClosedPipe)
  return streamTerminal(process.stdout, process.stderr)
}

function endQuietlyOnClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(EXIT.done)
  throw error
}

/** A terminal over any two streams; tests pass their own. */
export function streamTerminal(stdout: NodeJS.WriteStream, stderr: NodeJS.WritableStream): Terminal {
  let liveLine = ''
  const erase = (): string => (liveLine === '' ? '' : '\r\x1b[2K')
  return {
    interactive: stdout.isTTY === true,
    get columns() {
      // A terminal that does not know its width says 0.
      return stdout.columns || 100
    },
    print(line) {
      stdout.write(`${erase()}${line}\n${liveLine}`)
    },
    note(line) {
      if (liveLine !== '') stdout.write(erase())
      stderr.write(`${line}\n`)
      if (liveLine !== '') stdout.write(liveLine)
    },
    write(chunk) {
      if (stdout.write(chunk)) return Promise.resolve()
      return new Promise(resolve => stdout.once('drain', () => resolve()))
    },
    paint: (style, text) => styleText([...(typeof style === 'string' ? [style] : style)], text, { stream: stdout }),
    live(line) {
      if (stdout.isTTY !== true) return
      stdout.write(`${erase()}${line}`)
      liveLine = line
    },
    async flush() {
      await Promise.all([stdout, stderr].map(stream => new Promise<void>(done => stream.write('', () => done()))))
    },
  }
}

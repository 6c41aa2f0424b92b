/** Options that several commands share, and what they mean. */
import { Option } from 'commander'
import { CliError } from '../cli-error.ts'
import { DEFAULT_PORT } from '../dev/banner.ts'
import { EXIT } from '../exit-code.ts'

/** The client addresses of `millrace dev`. */
const DEFAULT_URLS: readonly string[] = [0, 1, 2].map(at => `http://127.0.0.1:${DEFAULT_PORT + at}`)

export function urlOption(): Option {
  return new Option(
    '--url <URLS>',
    'client addresses of nodes, separated by commas (default: those of millrace dev)',
  ).env('MILLRACE_URL')
}

export function jsonOption(what: string = 'print JSON'): Option {
  return new Option('--json', what)
}

/** The addresses to use. Any node will do: the others are found through it. */
export function urlsFrom(option: string | undefined, name: string = '--url'): readonly string[] {
  if (option === undefined) return DEFAULT_URLS
  const urls = option.split(',').map(text => withScheme(text.trim().replace(/\/+$/, '')))
  for (const url of urls) {
    const protocol = URL.parse(url)?.protocol ?? ''
    if (protocol !== 'http:' && protocol !== 'https:')
      throw new CliError(`${name}: "${url}" is not a URL such as http://127.0.0.1:${DEFAULT_PORT}`, EXIT.usage)
  }
  return urls
}

/** `localhost:7070` is what people type. */
function withScheme(text: string): string {
  return text.includes('://') ? text : `http://${text}`
}

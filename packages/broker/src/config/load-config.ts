/**
 * Builds the configuration of a node from one file, MILLRACE_* variables and flags, in rising order. Never guesses: a
 * name that is not a setting and a value that breaks its rule are errors that say where they stand and what was meant.
 */
import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { parse as parseYaml } from 'yaml'
import { StartError } from '../start-error.ts'
import { nearestName } from './nearest-name.ts'
import type { NodeConfig } from './node-config.ts'
import { SETTINGS, type Setting } from './settings.ts'

export interface ConfigSources {
  /** Path of a YAML or JSON file. Default: the variable MILLRACE_CONFIG, else no file. */
  readonly file?: string
  /** Default: none. Pass `process.env` to read MILLRACE_* variables. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** By dotted name: `{ 'listen.client': '127.0.0.1:0' }`. Undefined values are absent. */
  readonly flags?: Readonly<Record<string, unknown>>
}

/** Variables with the prefix that are not settings of a node. */
const OTHER_VARIABLES: readonly string[] = ['MILLRACE_CONFIG', 'MILLRACE_URL', 'MILLRACE_URLS']

interface Given {
  readonly value: unknown
  /** Where it was said, for messages: `millrace.yaml: listen.client`. */
  readonly where: string
}

/**
 * @throws StartError CONFIG_INVALID naming the setting, where it stands, its rule and the nearest valid name
 */
export function loadConfig(sources: ConfigSources = {}): NodeConfig {
  const given = new Map<string, Given>()
  const file = sources.file ?? sources.env?.MILLRACE_CONFIG
  if (file !== undefined) readFile(file, given)
  readVariables(sources.env ?? {}, given)
  for (const [name, value] of Object.entries(sources.flags ?? {})) {
    if (value !== undefined) put(given, name, value, `flag ${name}`)
  }
  return assemble(given)
}

function readFile(file: string, given: Map<string, Given>): void {
  let tree: unknown
  try {
    tree = parseYaml(readFileSync(file, 'utf8'))
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error)
    throw new StartError('CONFIG_INVALID', `cannot read the config file ${file}: ${reason}`, error)
  }
  if (tree === null || tree === undefined) return
  if (!isTree(tree)) throw new StartError('CONFIG_INVALID', `${file}: must be a map of settings`)
  flatten(tree, '', (name, value) => put(given, name, value, `${file}: ${name}`))
}

function readVariables(env: Readonly<Record<string, string | undefined>>, given: Map<string, Given>): void {
  const byVariable = new Map(SETTINGS.map(setting => [setting.variable, setting.name]))
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('MILLRACE_') || value === undefined || OTHER_VARIABLES.includes(variable)) continue
    const name = byVariable.get(variable)
    if (name === undefined) throw unknownName('variable', variable, [...byVariable.keys()])
    put(given, name, value, variable)
  }
}

function put(given: Map<string, Given>, name: string, value: unknown, where: string): void {
  const names = SETTINGS.map(setting => setting.name)
  if (!names.includes(name)) throw unknownName('setting', where, names, name)
  given.set(name, { value, where })
}

function unknownName(what: string, where: string, names: readonly string[], name = where): StartError {
  const nearest = nearestName(name, names) ?? nearestName(name.split('.').at(-1)!, names)
  const hint = nearest === undefined ? 'see docs/reference/config.md' : `did you mean ${nearest}?`
  return new StartError('CONFIG_INVALID', `unknown ${what} ${where}: ${hint}`)
}

/** Calls `put` for every leaf. A map below a name that is a setting belongs to the setting. */
function flatten(
  tree: Readonly<Record<string, unknown>>,
  prefix: string,
  leaf: (name: string, value: unknown) => void,
) {
  for (const [key, value] of Object.entries(tree)) {
    const name = prefix + key
    const isSetting = SETTINGS.some(setting => setting.name === name)
    const isSection = SETTINGS.some(setting => setting.name.startsWith(`${name}.`))
    if (isTree(value) && !isSetting && isSection) flatten(value, `${name}.`, leaf)
    else if (value === null && isSection) continue
    else leaf(name, value)
  }
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function assemble(given: ReadonlyMap<string, Given>): NodeConfig {
  const config: Record<string, unknown> = {}
  for (const setting of SETTINGS) {
    const [section, name] = setting.name.split('.') as [string, string | undefined]
    const value = checkedValue(setting, given.get(setting.name))
    if (name === undefined) config[section] = value
    else {
      config[section] ??= {}
      ;(config[section] as Record<string, unknown>)[name] = value
    }
  }
  // The table of settings and NodeConfig say the same; config.test.ts compares them name by name.
  const complete = config as unknown as NodeConfig
  checkTogether(complete)
  return complete
}

/** Rules that join two settings. */
function checkTogether({ raft }: NodeConfig): void {
  if (raft.electionTimeoutMinMs >= 2 * raft.heartbeatMs) return
  throw new StartError(
    'CONFIG_INVALID',
    `raft.electionTimeoutMinMs: ${raft.electionTimeoutMinMs} ms must be at least twice raft.heartbeatMs, ${raft.heartbeatMs} ms`,
  )
}

function checkedValue(setting: Setting, given: Given | undefined): unknown {
  if (given === undefined) return setting.fallback
  const result = v.safeParse(setting.schema, given.value)
  if (result.success) return result.output
  const issue = result.issues[0]
  const path = issue.path === undefined ? '' : ` at ${issue.path.map(item => String(item.key)).join('.')}`
  throw new StartError('CONFIG_INVALID', `${given.where}${path}: ${issue.message}, not ${show(given.value)}`)
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

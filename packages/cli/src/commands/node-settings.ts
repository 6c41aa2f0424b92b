/** Settings of a node from the command line: the config file and flags that override it. */
import { type Command, Option } from 'commander'
import { CliError } from '../cli-error.ts'
import { EXIT } from '../exit-code.ts'

export interface SettingFlags {
  readonly config?: string
  readonly set: Readonly<Record<string, string>>
}

/** Adds --config and the flags for settings. */
export function addSettingOptions(command: Command): Command {
  return command
    .option('--config <FILE>', 'settings as YAML or JSON (or the variable MILLRACE_CONFIG)')
    .addOption(
      new Option(
        '--set <NAME=VALUE>',
        'one setting, over file and variables, such as listen.client=127.0.0.1:7071; repeat it',
      )
        .default({}, 'none')
        .argParser(addSetting),
    )
}

function addSetting(text: string, before: Readonly<Record<string, string>>): Record<string, string> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new CliError(`--set: "${text}" is not NAME=VALUE, such as log.level=debug`, EXIT.usage)
  return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) }
}

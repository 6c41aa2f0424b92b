/** `millrace completion`: scripts for shells, made from the command line as it is. */
import { type Command as AnyCommand, Argument, Command } from 'commander'
import type { Terminal } from '../terminal/terminal.ts'

type Shell = 'bash' | 'zsh' | 'fish'

/** A command as shells need it: its words after `millrace`, what may follow, and what it does. */
interface Completion {
  readonly path: readonly string[]
  readonly subcommands: readonly { readonly name: string; readonly description: string }[]
  readonly flags: readonly { readonly name: string; readonly description: string }[]
}

/** @param root gives the whole program, which is complete only once all commands are added */
export function completionCommand(terminal: Terminal, root: () => AnyCommand): Command {
  return new Command('completion')
    .description('print a completion script: source <(millrace completion bash)')
    .addArgument(new Argument('<SHELL>').choices(['bash', 'zsh', 'fish']))
    .action((shell: Shell) => {
      const completions = collect(root(), [])
      terminal.print(shell === 'bash' ? bash(completions) : shell === 'zsh' ? zsh(completions) : fish(completions))
    })
}

function collect(command: AnyCommand, path: readonly string[]): Completion[] {
  const own: Completion = {
    path,
    subcommands: command.commands.map(sub => ({ name: sub.name(), description: sub.description() })),
    flags: command
      .createHelp()
      .visibleOptions(command)
      .map(({ long, description }) => ({ name: long ?? '', description })),
  }
  return [own, ...command.commands.flatMap(sub => collect(sub, [...path, sub.name()]))]
}

/** `case` branches from the words of a command to what may follow it. */
function cases({ path, subcommands, flags }: Completion): string {
  const words = [...subcommands, ...flags].map(({ name }) => name).join(' ')
  return `    "${path.join(' ')}") words="${words}" ;;`
}

const SHELL_PATH = `  local path="" word
  for word in "\${words_before[@]}"; do
    case "$word" in -*) ;; *) case " $commands " in *" \${path:+$path }$word,"*) path="\${path:+$path }$word" ;; esac ;; esac
  done`

/** All paths, each closed by a comma, so that `topics list` is told from a topic called list. */
function commandList(completions: readonly Completion[]): string {
  return completions.map(({ path }) => `${path.join(' ')},`).join(' ')
}

function bash(completions: readonly Completion[]): string {
  return `_millrace() {
  local commands=" ${commandList(completions)}" words=""
  local words_before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
${SHELL_PATH}
  case "$path" in
${completions.map(cases).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ \${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _millrace millrace`
}

function zsh(completions: readonly Completion[]): string {
  return `#compdef millrace
_millrace() {
  local commands=" ${commandList(completions)}"
  local -a words_before=("\${(@)words[2,CURRENT-1]}")
  local all=("\${words[@]}") words=""
${SHELL_PATH}
  case "$path" in
${completions.map(cases).join('\n')}
  esac
  compadd -- \${=words} || _files
}
compdef _millrace millrace`
}

function fish(completions: readonly Completion[]): string {
  const quote = (text: string): string => `'${text.replaceAll(/['\\]/g, '\\$&')}'`
  const lines = completions.flatMap(({ path, subcommands, flags }) => {
    const known = subcommands.map(({ name }) => name).join(' ')
    const here = [...path.map(word => `__fish_seen_subcommand_from ${word}`)]
    if (known !== '') here.push(`not __fish_seen_subcommand_from ${known}`)
    const condition = here.length === 0 ? '' : ` -n ${quote(here.join('; and '))}`
    return [
      ...subcommands.map(sub => `complete -c millrace -f${condition} -a ${sub.name} -d ${quote(sub.description)}`),
      ...flags.map(flag => `complete -c millrace${condition} -l ${flag.name.slice(2)} -d ${quote(flag.description)}`),
    ]
  })
  return lines.join('\n')
}

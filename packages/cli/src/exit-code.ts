/** What the exit code of every command means. docs/reference/cli.md has the same table and is checked against this. */
export const EXIT = {
  /** Everything that was asked for is done. */
  done: 0,
  /** It ran and failed, wholly or in part; stderr says what. */
  failed: 1,
  /** The command line, a setting or the input is wrong; nothing was changed because of it. */
  usage: 2,
  /** No node of the cluster could be reached. */
  unreachable: 3,
  /** A port or a folder is in use by another process. */
  inUse: 4,
  /** Stopped by Ctrl-C before its end. */
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** One line per code, for people. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'Everything that was asked for is done.',
  1: 'It ran and failed, wholly or in part; stderr says what.',
  2: 'The command line, a setting or the input is wrong.',
  3: 'No node of the cluster could be reached.',
  4: 'A port or a folder is in use by another process.',
  130: 'Ctrl-C before its end.',
}

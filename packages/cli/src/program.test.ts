import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { allCommands, buildProgram, runProgram } from './program.ts'
import { streamTerminal } from './terminal/terminal.ts'

interface Run {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

async function run(...args: string[]): Promise<Run> {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const terminal = streamTerminal(stdout as unknown as NodeJS.WriteStream, stderr)
  const exitCode = await runProgram(args, terminal)
  return { exitCode, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') }
}

/** What a failure looks like: nothing on stdout, one line on stderr. */
function failure(exitCode: number, line: RegExp): object {
  return { exitCode, stdout: '', stderr: expect.stringMatching(new RegExp(`^millrace: ${line.source}\n$`)) }
}

describe('the command line', () => {
  it('prints help and the version to stdout', async () => {
    const help = await run('--help')
    expect(help).toMatchObject({ exitCode: 0, stderr: '' })
    for (const name of ['dev', 'serve', 'init', 'append', 'tail', 'topics', 'cluster', 'tour', 'completion'])
      expect(help.stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
    expect(await run('--version')).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\S*\n$/) })
    expect((await run('topics', 'create', '--help')).stdout).toContain('--partitions <N>')
  })

  it.each([
    [['tial'], /unknown command 'tial'.*Did you mean tail\?.*/],
    [[], /say what to do: millrace --help lists the commands/],
    [['topics'], /millrace topics: say which of create, list, describe, delete, trim/],
    [['dev', '--port', '70000'], /--port: "70000" is not a whole number from 1 to 65505/],
    [['dev', '--nodes', 'three'], /--nodes: "three" is not a whole number from 1 to 9/],
    [['dev', '--prot', '1'], /unknown option '--prot'.*Did you mean --port\?.*/],
    [['append'], /missing required argument 'TOPIC'/],
    [['append', 'demo', '--url', 'ftp://localhost'], /--url: "ftp:\/\/localhost" is not a URL such as .*/],
    [['append', 'demo', '/no/such/file'], /cannot read \/no\/such\/file: ENOENT.*/],
    [['tail', 'demo', '--from', '7'], /--from OFFSET needs --partition.*/],
    [['tail', 'demo', '--from', 'first'], /--from: "first" is none of .*/],
    [['topics', 'create', 'a', '--retention', '7 weeks'], /"7 weeks" is not a duration.*/],
    [['serve', '--set', 'port'], /--set: "port" is not NAME=VALUE.*/],
    [['tour', '--input', '/no/such/file'], /cannot read --input: ENOENT.*/],
    [['bench'], /millrace bench: say which of append, latency, read/],
    [['bench', 'append', '--record-bytes', '11'], /--record-bytes: "11" is not between 12 and 1048576/],
    [['bench', 'append', '--batch', '0'], /--batch: "0" is not a whole number from 1 to 100000/],
    [
      ['bench', 'append', '--in-flight', '5000'],
      /5000 calls of 500 records of 1\.0 KiB are 2\.4 GiB under way.*lower .*/,
    ],
    [['bench', 'append', '--size', '1KiB'], /--size 1\.0 KiB is less than one call of 500 records/],
    [['bench', 'latency', '--partitions', '2'], /--partitions: latency is measured in one partition/],
    [['bench', 'read', '--duration', '0s'], /--duration: "0s" is not between 1 and .*/],
    [['completion', 'tcsh'], /.*'tcsh' is invalid.*Allowed choices are bash, zsh, fish\..*/],
  ])('says in one line what is wrong with %j', async (args, line) => {
    expect(await run(...args)).toMatchObject(failure(2, line))
  })

  it.each([
    ['topics', 'list'],
    ['cluster', 'status'],
    ['append', 'demo', process.execPath],
    ['tail', 'demo'],
    ['bench', 'read'],
  ])('says when no node answers, with an exit code of its own: %s %s', async (...args) => {
    expect(await run(...args, '--url', 'http://127.0.0.1:1')).toMatchObject(
      failure(3, /no node answers at http:\/\/127\.0\.0\.1:1; is the cluster running\? \(--url\) \(UNREACHABLE\)/),
    )
  })

  it('describes every command and every option', async () => {
    const program = await buildProgram(streamTerminal(process.stdout, process.stderr))
    for (const command of allCommands(program)) {
      expect(command.description(), command.name()).not.toBe('')
      for (const option of command.options) expect(option.description, `${command.name()} ${option.flags}`).not.toBe('')
    }
  })
})

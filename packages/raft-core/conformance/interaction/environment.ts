/** The cluster of one script: its nodes, the messages between them, and what it has printed. */
import type { Configuration, Message, RaftConfig, SnapshotMeta } from '../../src/index.ts'
import { EMPTY_CONFIGURATION } from '../../src/membership/changer.ts'
import { formatMessage, formatReady } from '../format.ts'
import { isLocal, type Payload, type ThreadMessage } from './ready.ts'
import { ScriptedNode } from './scripted-node.ts'

export interface AddNodesOptions {
  readonly voters: readonly number[]
  readonly learners: readonly number[]
  readonly index: number
  readonly content: string
  readonly asyncStorageWrites: boolean
  readonly config: Omit<RaftConfig, 'id'>
}

export interface Recipient {
  readonly id: number
  readonly drop: boolean
}

export class Environment {
  readonly nodes: ScriptedNode[] = []
  /** On their way, in the order in which they left. */
  #network: Message<Payload>[] = []
  #lines: string[] = []
  #indent = ''

  /** Everything printed since the last call. */
  takeText(): string {
    const text = this.#lines.join('\n')
    this.#lines = []
    return text
  }

  print(text: string): void {
    for (const line of text.split('\n')) this.#lines.push(this.#indent + line)
  }

  /** Prints a heading and, indented below it, what `body` prints. */
  section(heading: string, body: () => void): void {
    this.print(heading)
    const outer = this.#indent
    this.#indent += '  '
    try {
      body()
    } finally {
      this.#indent = outer
    }
  }

  node(id: number): ScriptedNode {
    const node = this.nodes[id - 1]
    if (node === undefined) throw new Error(`there is no node ${id}`)
    return node
  }

  addNodes(count: number, options: AddNodesOptions): void {
    const { voters, learners, index, content } = options
    const born = voters.length > 0 || learners.length > 0 || index > 0 || content !== ''
    if (born && index <= 1) throw new Error('index must be specified as > 1 due to bootstrap')
    const rising = (ids: readonly number[]): number[] => [...ids].sort((a, b) => a - b)
    const configuration: Configuration = { ...EMPTY_CONFIGURATION, voters: rising(voters), learners: rising(learners) }
    const snapshot: SnapshotMeta<Payload> = { index, term: 1, configuration, payload: { data: content } }
    for (let i = 0; i < count; i++) {
      const id = this.nodes.length + 1
      const { asyncStorageWrites, config } = options
      this.nodes.push(new ScriptedNode({ id, asyncStorageWrites, config, born: born ? snapshot : undefined }))
    }
  }

  handleReady(node: ScriptedNode): void {
    const { ready, sent } = node.handleReady()
    this.print(formatReady(ready))
    this.#network.push(...sent)
  }

  processAppend(node: ScriptedNode): void {
    const work = node.appendOne()
    if (work === undefined) this.print('no append work to perform')
    else this.#finishWork(work)
  }

  processApply(node: ScriptedNode): void {
    const work = node.applyOne()
    if (work === undefined) this.print('no apply work to perform')
    else this.#finishWork(work)
  }

  #finishWork(work: ThreadMessage): void {
    this.print('Processing:')
    this.print(formatMessage({ ...work, responses: [] }))
    this.print('Responses:')
    for (const response of work.responses) this.print(formatMessage(response))
    this.#network.push(...work.responses)
  }

  send(message: Message<Payload>): void {
    this.#network.push(message)
  }

  hasMessagesFor(id: number): boolean {
    return this.#network.some(message => message.to === id)
  }

  /**
   * Delivers or drops what is on its way to each of `recipients`, in their order.
   *
   * @param type as printed; only messages of that type
   * @returns how many messages were handled
   */
  deliver(recipients: readonly Recipient[], type?: string): number {
    let handled = 0
    for (const recipient of recipients) {
      const concerns = (message: Message<Payload>): boolean =>
        message.to === recipient.id &&
        !(recipient.drop && isLocal(message)) &&
        (type === undefined || formatMessage(message).split(' ')[1] === type)
      const messages = this.#network.filter(concerns)
      this.#network = this.#network.filter(message => !concerns(message))
      handled += messages.length
      for (const message of messages) this.#deliverOne(message, recipient.drop)
    }
    return handled
  }

  #deliverOne(message: Message<Payload>, drop: boolean): void {
    this.print(`${drop ? 'dropped: ' : ''}${formatMessage(message)}`)
    if (drop) return
    const result = this.node(message.to).receive(message)
    if (result.type !== 'dropped') return
    if (result.reason === 'unknownPeer' && message.type !== 'transferLeader') {
      this.print('raft: cannot step as peer not found')
    } else if (result.reason === 'localMessage') this.print('raft: cannot step raft local message')
    else if (message.type === 'propose') this.print('raft proposal dropped')
  }

  /** Rounds over `nodes` until none of them has anything left to do. */
  stabilize(nodes: readonly ScriptedNode[]): void {
    for (let busy = true; busy; ) {
      busy = false
      const each = (due: (node: ScriptedNode) => boolean, heading: (id: number) => string, act: Action): void => {
        for (const node of nodes) {
          if (!due(node)) continue
          busy = true
          this.section(heading(node.id), () => act(node))
        }
      }
      each(
        node => node.group.hasOutput(),
        id => `> ${id} handling Ready`,
        node => this.handleReady(node),
      )
      each(
        node => this.hasMessagesFor(node.id),
        id => `> ${id} receiving messages`,
        node => this.deliver([{ id: node.id, drop: false }]),
      )
      each(
        node => node.appendWork.length > 0,
        id => `> ${id} processing append thread`,
        node => {
          while (node.appendWork.length > 0) this.processAppend(node)
        },
      )
      each(
        node => node.applyWork.length > 0,
        id => `> ${id} processing apply thread`,
        node => {
          while (node.applyWork.length > 0) this.processApply(node)
        },
      )
    }
  }
}

type Action = (node: ScriptedNode) => void

/**
 * What the catalogue knows of nodes beside their addresses: whose data folder is the node, whether another folder may
 * take its place, whether it was removed; and the wish for group 0, which belongs to no topic. Changed by committed commands only.
 *
 * A replica id is promised to one folder. A folder that is lost takes its promises with it, so the folder that comes
 * in its place gets other ids, and it gets them only after somebody said that the old one is gone.
 */
import type { CatalogueKey } from './catalogue-state.ts'
import type { GroupWish } from './group-wish.ts'
import { extended, replaced, withoutNodes } from './group-wish.ts'

export interface CatalogueMember {
  readonly node: number
  /** Id of the data folder that the node's replicas are promised to; '' is that of the founding. */
  readonly folder: string
  /** Another folder may claim the node. */
  readonly admits: boolean
  readonly removed: boolean
}

export interface MembersContents {
  readonly members: readonly CatalogueMember[]
  /** Undefined: what group 0 was founded with, which the catalogue does not know. */
  readonly catalogue: GroupWish | undefined
}

export class CatalogueMembers {
  readonly #members = new Map<number, CatalogueMember>()
  readonly #onChange: (key: CatalogueKey) => void
  #catalogue: GroupWish | undefined

  constructor(contents: MembersContents | undefined, onChange: (key: CatalogueKey) => void) {
    this.#onChange = onChange
    this.#catalogue = contents?.catalogue
    for (const member of contents?.members ?? []) this.#members.set(member.node, member)
  }

  /** The wish for group 0. */
  get catalogue(): GroupWish | undefined {
    return this.#catalogue
  }

  /** Undefined: a node of the founding, or none. */
  get(node: number): CatalogueMember | undefined {
    return this.#members.get(node)
  }

  /** Rising by id. */
  list(): readonly CatalogueMember[] {
    return [...this.#members.values()].sort((a, b) => a.node - b.node)
  }

  /** @param found group 0 as its leader sees it; counts where it is not known here yet */
  admit(node: number, found: GroupWish): void {
    this.#learn(found)
    const { folder = '', removed = false } = this.#members.get(node) ?? {}
    this.#set({ node, folder, admits: true, removed })
  }

  /** The node is `folder` from now on, with a new replica of the catalogue. */
  claim(node: number, folder: string): void {
    this.#set({ node, folder, admits: false, removed: false })
    const wish = this.#catalogue
    if (wish !== undefined) this.#setCatalogue(replaced(wish, node, node) ?? extended(wish, node))
  }

  remove(node: number, found: GroupWish): void {
    this.#learn(found)
    const { folder = '' } = this.#members.get(node) ?? {}
    this.#set({ node, folder, admits: false, removed: true })
    this.#strike(new Set([node]))
  }

  /** They are gone for good. */
  forget(nodes: ReadonlySet<number>): void {
    for (const node of nodes) if (this.#members.delete(node)) this.#onChange({ type: 'member', node })
    this.#strike(nodes)
  }

  /** As in a cluster that was just founded. */
  beginAnew(): void {
    this.forget(new Set(this.#members.keys()))
    if (this.#catalogue === undefined) return
    this.#catalogue = undefined
    this.#onChange({ type: 'catalogue' })
  }

  #learn(found: GroupWish): void {
    if (this.#catalogue === undefined) this.#setCatalogue(found)
  }

  #strike(nodes: ReadonlySet<number>): void {
    const wish = this.#catalogue
    if (wish === undefined) return
    const left = withoutNodes(wish, nodes)
    if (left !== wish) this.#setCatalogue(left)
  }

  #set(member: CatalogueMember): void {
    this.#members.set(member.node, member)
    this.#onChange({ type: 'member', node: member.node })
  }

  #setCatalogue(wish: GroupWish): void {
    this.#catalogue = wish
    this.#onChange({ type: 'catalogue' })
  }
}

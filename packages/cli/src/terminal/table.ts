/** Tables for people: columns as wide as their widest cell, numbers to the right, no borders, so that awk can read them. */
import { stripVTControlCharacters } from 'node:util'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** Lines of a table, the titles first. Cells may carry colours. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const cells = [columns.map(column => column.title.toUpperCase()), ...rows]
  const widths = columns.map((_, at) => Math.max(...cells.map(row => visibleWidth(row[at] ?? ''))))
  return cells.map(row =>
    columns
      .map((column, at) => pad(row[at] ?? '', widths[at] ?? 0, column.align ?? 'left'))
      .join('  ')
      .trimEnd(),
  )
}

function pad(cell: string, width: number, align: 'left' | 'right'): string {
  const space = ' '.repeat(Math.max(0, width - visibleWidth(cell)))
  return align === 'left' ? cell + space : space + cell
}

function visibleWidth(text: string): number {
  return stripVTControlCharacters(text).length
}

/** Small files of a data folder that say something about it as a whole. */
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'

/** Under another name first: what is interrupted leaves no half of a file. Durable when it resolves. */
export async function writeDurably(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name)
  const file = await open(`${path}.new`, 'w', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  await syncFolder(folder)
}

/** Makes durable which names are in a folder. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

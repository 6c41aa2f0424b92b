import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { BackOff } from './back-off.ts'
import { freePorts, takenPorts } from './ports.ts'
import { waitFor } from './wait-for.ts'

describe('ports', () => {
  it('gives different free ones', async () => {
    const ports = await freePorts(9)
    expect(new Set(ports).size).toBe(9)
    expect(await takenPorts(ports)).toEqual([])
  })

  it('names those that are taken', async () => {
    const [taken, free] = await freePorts(2)
    const server = createServer()
    await new Promise<void>(resolve => server.listen(taken, '127.0.0.1', resolve))
    expect(await takenPorts([taken!, free!])).toEqual([taken])
    await new Promise(resolve => server.close(resolve))
  })
})

describe('BackOff', () => {
  it('doubles up to its limit, and forgives after a long run', () => {
    const backOff = new BackOff()
    expect([0, 0, 0, 0, 0, 0, 0, 0].map(() => backOff.next(10))).toEqual([
      500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
    ])
    expect(backOff.next(120_000)).toBe(500)
    expect(backOff.next(10)).toBe(1000)
  })
})

describe('waitFor', () => {
  it('gives the first answer', async () => {
    let asked = 0
    expect(await waitFor(() => ++asked >= 3 && asked, { what: 'three', timeoutMs: 5000, everyMs: 1 })).toBe(3)
  })

  it('says what it waited for, and the last failure', async () => {
    const ask = (): never => {
      throw new Error('not there')
    }
    await expect(waitFor(ask, { what: 'Godot', timeoutMs: 20, everyMs: 1 })).rejects.toThrow(
      /waiting for Godot: not there/,
    )
  })

  it('ends with its signal', async () => {
    const waiting = waitFor(() => false, { what: 'nothing', timeoutMs: 60_000, signal: AbortSignal.timeout(20) })
    await expect(waiting).rejects.toThrow()
  })
})

/** What every transport does with the beats of quiet groups, as one suite. */
import { describe, expect, test } from 'vitest'
import { type TransportNetwork, transportStarter } from './recording-handler.ts'
import { until } from './until.ts'

export function describeBeats(name: string, open: () => Promise<TransportNetwork>): void {
  describe(`${name} carries beats`, () => {
    const started = transportStarter()

    test('and their answers unchanged, in order with heartbeats', async () => {
      const network = await open()
      const [a, seenByA] = await started(network, 1)
      const [b, seenByB] = await started(network, 2)
      await until('both are connected', () => seenByA.connects.includes(2) && seenByB.connects.includes(1))
      const heartbeat = { type: 'heartbeat', from: 1, to: 2, term: 3, commit: 4, context: 0 } as const
      const beats = [1, 2, 3].map(number => ({
        answer: false,
        session: 8,
        number,
        heard: number - 1,
        left: [5, number],
      }))
      for (const [i, beat] of beats.entries()) {
        a.send(2, [{ group: i, message: heartbeat, quiet: 8 }])
        a.sendBeat(2, beat)
        await until('the beat arrives', () => seenByB.beats.length === i + 1)
        expect(seenByB.received.at(-1)!.message).toEqual({ group: i, message: heartbeat, quiet: 8 })
      }
      expect(seenByB.beats).toEqual(beats.map(beat => ({ fromNode: 1, beat })))
      const answer = { answer: true, session: 9, number: 3, heard: 0, left: [] }
      b.sendBeat(1, answer)
      await until('the answer arrives', () => seenByA.beats.length === 1)
      expect(seenByA.beats).toEqual([{ fromNode: 2, beat: answer }])
    })

    test('and reports those to a node that is not there', async () => {
      const network = await open()
      const [a, seenByA] = await started(network, 1)
      a.sendBeat(2, { answer: false, session: 8, number: 1, heard: 0, left: [] })
      await until('unreachable', () => seenByA.unreachables.includes(2))
    })
  })
}

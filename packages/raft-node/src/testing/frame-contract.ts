/** What every transport does with questions for frames, as one suite. */
import { describe, expect, test } from 'vitest'
import { joinedFrames } from './joined-frames.ts'
import { type TransportNetwork, transportStarter } from './recording-handler.ts'
import { until } from './until.ts'

export function describeFrameQuestions(name: string, open: () => Promise<TransportNetwork>): void {
  describe(`${name} carries questions for frames, and for a state`, () => {
    const started = transportStarter()

    test('and answers, with frames as they are', async () => {
      const network = await open()
      const [a, seenByA] = await started(network, 1)
      const [b, seenByB] = await started(network, 2)
      await until('both are connected', () => seenByA.connects.includes(2) && seenByB.connects.includes(1))
      const last = { index: 2 ** 40 + 9, term: 2 ** 33 + 1, chain: 2 ** 32 - 2 }
      const request = { group: 2 ** 35 + 7, from: 11, to: 12, first: 2 ** 40 + 1, last, bytesMax: 1_048_576 }
      const frames = joinedFrames(7, 5, 3, 400_000)
      seenByB.frameAnswers.push({ status: 'frames', frames })
      const answer = await a.fetchFrames(2, request)
      expect(seenByB.frameRequests).toEqual([{ fromNode: 1, request }])
      if (answer.status !== 'frames') throw new Error(answer.status)
      expect(answer.frames.map(({ header }) => header.index)).toEqual([5, 6, 7])
      expect(Buffer.concat(answer.frames.map(({ bytes }) => bytes))).toEqual(
        Buffer.concat(frames.map(({ bytes }) => bytes)),
      )
      for (const status of ['busy', 'absent', 'damaged', 'differs'] as const) {
        seenByB.frameAnswers.push({ status })
        expect(await a.fetchFrames(2, request)).toEqual({ status })
      }
      const stateRequest = { group: 2 ** 35 + 7, from: 11, to: 12, least: 2 ** 40 + 3 }
      for (const answer of ['coming', 'behind', 'absent'] as const) {
        seenByB.stateAnswers.push(answer)
        expect(await a.fetchState(2, stateRequest)).toBe(answer)
      }
      expect(seenByB.stateRequests[2]).toEqual({ fromNode: 1, request: stateRequest })
      await expect(a.fetchState(3, stateRequest)).rejects.toThrow('node 3')
      await expect(a.fetchFrames(3, request)).rejects.toThrow('node 3')
      await b.close()
      await expect(a.fetchFrames(2, request)).rejects.toThrow()
    })
  })
}

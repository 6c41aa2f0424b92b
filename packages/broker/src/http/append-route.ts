/** POST /v1/topics/{topic}/records: one request is one batch in one partition, stored as a whole or not at all. */
import { LIMITS, MillraceError } from '@millrace/record'
import { appendPlain, type TurnPicker } from '../append/plain-append.ts'
import type { BrokerContext } from '../broker-context.ts'
import { FORWARDED_HEADER } from '../cluster/node-directory.ts'
import { checkPartition, findTopic } from '../cluster/topic-lookup.ts'
import { sendJson } from './http-error.ts'
import { closedSignal, header, type NodeRequest, type NodeResponse } from './node-http.ts'
import { numberParameter, parseQuery } from './query.ts'
import { readBody } from './request-body.ts'
import { requestRecords } from './request-records.ts'

export async function appendRoute(
  context: BrokerContext,
  turns: TurnPicker,
  topicName: string,
  query: string,
  request: NodeRequest,
  response: NodeResponse,
): Promise<void> {
  const parameters = parseQuery(query, ['partition', 'key'])
  const partition = numberParameter(parameters, 'partition')
  checkEncoding(header(request, 'content-encoding'))
  const topic = await findTopic(context, topicName)
  if (partition !== undefined) checkPartition(topic, partition)
  const body = await readBody(request, LIMITS.recordSetBytesMax, 'recordSetBytesMax')
  const key = parameters.key === undefined ? null : Buffer.from(parameters.key)
  const { records, many } = requestRecords(header(request, 'content-type'), body, key, Date.now())
  const call = {
    forwarded: header(request, FORWARDED_HEADER) !== undefined,
    deadline: performance.now() + context.settings.appendTimeoutMs,
    signal: closedSignal(response),
  }
  const [appended] = await appendPlain(context, turns, topic, { records, partition }, call)
  if (appended === undefined) throw new MillraceError('INTERNAL', 'an append gave no result')
  const { baseOffset, count, timestamp } = appended
  const place = (i: number) => ({ partition: appended.partition, offset: baseOffset + i, timestamp })
  sendJson(response, 200, many ? { records: Array.from({ length: count }, (_, i) => place(i)) } : place(0))
}

/** Compressed bytes would be stored as they are, and read by people who expect what was compressed. */
function checkEncoding(encoding: string | undefined): void {
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return
  throw new MillraceError('INVALID_ARGUMENT', `content-encoding ${encoding}: send the bytes as they are`)
}

/**
 * Messages with a payload, encoded around it: the bytes are those that protobuf-es would make, but the payload is one of
 * the parts, by reference, and is not copied.
 */
import { toBinary } from '@bufbuild/protobuf'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { type AppendStreamRequest, AppendStreamRequestSchema } from '../gen/millrace/v1alpha1/log_pb.ts'

/** Buffers that follow one another on the wire. Not written to until they were sent. */
export type MessageParts = readonly Uint8Array[]

const NOTHING = new Uint8Array(0)
const RECORD_SET_FIELD = AppendStreamRequestSchema.field.recordSet.number
/** Of ReadResponse. */
const FRAMES_FIELD = 2
/** Of FrameBatch. */
const BATCH_FRAMES_FIELD = 1
const BATCH_HIGH_WATERMARK_FIELD = 2

export function appendStreamRequestParts(request: AppendStreamRequest): MessageParts {
  const { recordSet } = request
  if (recordSet.length === 0) return [toBinary(AppendStreamRequestSchema, request)]
  const before = toBinary(AppendStreamRequestSchema, { ...request, recordSet: NOTHING })
  const head = new BinaryWriter()
    .raw(before)
    .tag(RECORD_SET_FIELD, WireType.LengthDelimited)
    .uint32(recordSet.length)
    .finish()
  return [head, recordSet]
}

/**
 * A ReadResponse with a FrameBatch.
 *
 * @param frames whole frames, in order; together not empty
 */
export function frameBatchParts(frames: readonly Uint8Array[], highWatermark: number): MessageParts {
  const length = frames.reduce((sum, frame) => sum + frame.length, 0)
  const head = new BinaryWriter().tag(BATCH_FRAMES_FIELD, WireType.LengthDelimited).uint32(length).finish()
  const tail =
    highWatermark === 0
      ? NOTHING
      : new BinaryWriter().tag(BATCH_HIGH_WATERMARK_FIELD, WireType.Varint).uint64(highWatermark).finish()
  const outer = new BinaryWriter()
    .tag(FRAMES_FIELD, WireType.LengthDelimited)
    .uint32(head.length + length + tail.length)
    .raw(head)
    .finish()
  return tail.length === 0 ? [outer, ...frames] : [outer, ...frames, tail]
}

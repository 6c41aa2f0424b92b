/**
 * The closed table of error codes: what can go wrong, what it says about the write, and whether trying again can help.
 * docs/reference/errors.md has a row per code and is checked against this.
 */

/** What is known about a write that failed: it was not stored and never will be, or nobody can tell. */
export type Outcome = 'not_stored' | 'unknown'

export interface ErrorRow {
  /** The outcome this code implies for a write. */
  readonly outcome: Outcome
  readonly retryable: boolean
  /** HTTP status of the plain routes. */
  readonly status: number
  /** Name of the Connect code. */
  readonly connect: string
  readonly meaning: string
}

export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'INVALID_NAME'
  | 'RECORD_TOO_LARGE'
  | 'CORRUPT_BATCH'
  | 'UNDECODABLE'
  | 'UNKNOWN_TOPIC'
  | 'UNKNOWN_PARTITION'
  | 'TOPIC_EXISTS'
  | 'OFFSET_OUT_OF_RANGE'
  | 'NOT_LEADER'
  | 'NO_LEADER'
  | 'LEADER_STARTING'
  | 'THROTTLED'
  | 'DISK_FULL'
  | 'BUFFER_FULL'
  | 'PRODUCER_FENCED'
  | 'PRODUCER_SEQUENCE_GAP'
  | 'PRODUCER_UNKNOWN'
  | 'PRODUCER_CONFLICT'
  | 'EXPECTATION_FAILED'
  | 'CHANGE_IN_PROGRESS'
  | 'REPLICA_BEHIND'
  | 'APPEND_TIMEOUT'
  | 'LEADERSHIP_LOST'
  | 'CANCELLED'
  | 'UNREACHABLE'
  | 'CONNECTION_LOST'
  | 'PARTITION_HALTED'
  | 'RANGE_DAMAGED'
  | 'FORBIDDEN_ORIGIN'
  | 'UNSUPPORTED'
  | 'SHUTTING_DOWN'
  | 'INTERNAL'

export const ERRORS: Readonly<Record<ErrorCode, ErrorRow>> = {
  INVALID_ARGUMENT: {
    outcome: 'not_stored',
    retryable: false,
    status: 400,
    connect: 'invalid_argument',
    meaning: 'A value has the wrong form; the message names it and the rule.',
  },
  INVALID_NAME: {
    outcome: 'not_stored',
    retryable: false,
    status: 400,
    connect: 'invalid_argument',
    meaning: 'A topic name breaks the naming rule.',
  },
  RECORD_TOO_LARGE: {
    outcome: 'not_stored',
    retryable: false,
    status: 413,
    connect: 'invalid_argument',
    meaning: 'A record or record set is above its limit.',
  },
  CORRUPT_BATCH: {
    outcome: 'not_stored',
    retryable: true,
    status: 400,
    connect: 'data_loss',
    meaning: 'A batch does not match its checksum, or its bytes are no record set; the message names the field.',
  },
  UNDECODABLE: {
    outcome: 'not_stored',
    retryable: false,
    status: 422,
    connect: 'data_loss',
    meaning: 'A stored key or value is not of the form that the codec of the reader expects.',
  },
  UNKNOWN_TOPIC: {
    outcome: 'not_stored',
    retryable: false,
    status: 404,
    connect: 'not_found',
    meaning: 'There is no topic of this name.',
  },
  UNKNOWN_PARTITION: {
    outcome: 'not_stored',
    retryable: false,
    status: 404,
    connect: 'not_found',
    meaning: 'The topic has no partition of this number.',
  },
  TOPIC_EXISTS: {
    outcome: 'not_stored',
    retryable: false,
    status: 409,
    connect: 'already_exists',
    meaning: 'A topic of this name exists with another configuration.',
  },
  OFFSET_OUT_OF_RANGE: {
    outcome: 'not_stored',
    retryable: false,
    status: 416,
    connect: 'out_of_range',
    meaning: 'The offset is outside what the partition holds; the message names the valid range.',
  },
  NOT_LEADER: {
    outcome: 'not_stored',
    retryable: true,
    status: 421,
    connect: 'failed_precondition',
    meaning: 'This node does not lead the partition; the detail names the leader where one is known.',
  },
  NO_LEADER: {
    outcome: 'not_stored',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning: 'The partition has no leader at the moment.',
  },
  LEADER_STARTING: {
    outcome: 'not_stored',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning: 'A new leader has not applied the first entry of its term yet.',
  },
  THROTTLED: {
    outcome: 'not_stored',
    retryable: true,
    status: 429,
    connect: 'resource_exhausted',
    meaning: 'A bounded queue of the node is full.',
  },
  DISK_FULL: {
    outcome: 'not_stored',
    retryable: true,
    status: 507,
    connect: 'resource_exhausted',
    meaning: 'The disk reserve is reached; appends are refused until there is room.',
  },
  BUFFER_FULL: {
    outcome: 'not_stored',
    retryable: true,
    status: 429,
    connect: 'resource_exhausted',
    meaning: 'The buffer of the client is full.',
  },
  PRODUCER_FENCED: {
    outcome: 'not_stored',
    retryable: false,
    status: 409,
    connect: 'failed_precondition',
    meaning: 'A newer epoch of this producer id has written.',
  },
  PRODUCER_SEQUENCE_GAP: {
    outcome: 'not_stored',
    retryable: true,
    status: 409,
    connect: 'failed_precondition',
    meaning: 'A batch of this producer before this one is missing.',
  },
  PRODUCER_UNKNOWN: {
    outcome: 'unknown',
    retryable: false,
    status: 409,
    connect: 'failed_precondition',
    meaning: 'The partition no longer knows this producer, so it cannot tell a retry from a new batch.',
  },
  PRODUCER_CONFLICT: {
    outcome: 'not_stored',
    retryable: false,
    status: 409,
    connect: 'failed_precondition',
    meaning: 'Another batch was stored under the same producer id, epoch and sequence.',
  },
  EXPECTATION_FAILED: {
    outcome: 'not_stored',
    retryable: false,
    status: 412,
    connect: 'failed_precondition',
    meaning: 'The condition of a conditional append does not hold.',
  },
  CHANGE_IN_PROGRESS: {
    outcome: 'not_stored',
    retryable: true,
    status: 409,
    connect: 'aborted',
    meaning: 'The members of the group are being changed already; one change at a time.',
  },
  REPLICA_BEHIND: {
    outcome: 'not_stored',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning:
      'A replica has not caught up: a new one in the time allowed (it stays a learner), one whose log is behind its state (it is not read yet), or one that has known no leader for 30 s.',
  },
  APPEND_TIMEOUT: {
    outcome: 'unknown',
    retryable: false,
    status: 504,
    connect: 'deadline_exceeded',
    meaning: 'No answer within the time limit: stored or not, nobody can tell.',
  },
  LEADERSHIP_LOST: {
    outcome: 'unknown',
    retryable: true,
    status: 503,
    connect: 'aborted',
    meaning: 'The leader stepped down before it knew whether the write is committed.',
  },
  CANCELLED: {
    outcome: 'unknown',
    retryable: false,
    status: 499,
    connect: 'canceled',
    meaning: 'The caller gave up after the write was sent.',
  },
  UNREACHABLE: {
    outcome: 'not_stored',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning: 'No broker could be reached; nothing was sent.',
  },
  CONNECTION_LOST: {
    outcome: 'unknown',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning: 'The connection ended after the write was sent and before it was answered.',
  },
  PARTITION_HALTED: {
    outcome: 'not_stored',
    retryable: false,
    status: 503,
    connect: 'data_loss',
    meaning: 'A replica found damage that it must not serve or build upon.',
  },
  RANGE_DAMAGED: {
    outcome: 'not_stored',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning:
      'Records that are asked for cannot be read from the disk of this replica, and are being fetched from others.',
  },
  FORBIDDEN_ORIGIN: {
    outcome: 'not_stored',
    retryable: false,
    status: 403,
    connect: 'permission_denied',
    meaning: 'A page of another origin, or a foreign Host name, asked; see http.allowedOrigins.',
  },
  UNSUPPORTED: {
    outcome: 'not_stored',
    retryable: false,
    status: 501,
    connect: 'unimplemented',
    meaning: 'This version does not offer that.',
  },
  SHUTTING_DOWN: {
    outcome: 'not_stored',
    retryable: true,
    status: 503,
    connect: 'unavailable',
    meaning: 'The node or client is stopping.',
  },
  INTERNAL: {
    outcome: 'unknown',
    retryable: false,
    status: 500,
    connect: 'internal',
    meaning: 'A defect of Millrace; the message and the log say more.',
  },
}

const BRAND = Symbol.for('millrace.error')

export interface MillraceErrorOptions {
  readonly cause?: unknown
  /** Overrides the outcome that the code implies, where more is known. */
  readonly outcome?: Outcome
  /** Machine-readable particulars: limits, valid ranges, the leader's address. */
  readonly details?: Readonly<Record<string, string | number | boolean>>
}

/** The one public error of Millrace. `instanceof` holds across duplicate installs of the package. */
export class MillraceError extends Error {
  readonly code: ErrorCode
  readonly outcome: Outcome
  readonly retryable: boolean
  readonly details: Readonly<Record<string, string | number | boolean>>

  constructor(code: ErrorCode, message: string, options: MillraceErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'MillraceError'
    this.code = code
    this.outcome = options.outcome ?? ERRORS[code].outcome
    this.retryable = ERRORS[code].retryable
    this.details = options.details ?? {}
    Object.defineProperty(this, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value
  }
}

/** Whether a string from outside is one of our codes. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

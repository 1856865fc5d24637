/**
 * What can go wrong, and the one class that says so.
 *
 * The list of codes is closed and kept equal by a test with native/base/status.h and
 * docs/errors.md. Decide by `error.code`, never by the text of a message.
 */

import { types } from 'node:util';

/** All codes. What each means, and what to do: docs/errors.md. */
export const errorCodes = [
  'ERR_HOLDFAST_INVALID_ARGUMENT',
  'ERR_HOLDFAST_OUT_OF_RANGE',
  'ERR_HOLDFAST_KEY_SIZE',
  'ERR_HOLDFAST_VALUE_SIZE',
  'ERR_HOLDFAST_BATCH_TOO_LARGE',
  'ERR_HOLDFAST_NOT_FOUND',
  'ERR_HOLDFAST_EXISTS',
  'ERR_HOLDFAST_NOT_A_POOL',
  'ERR_HOLDFAST_NEWER_FORMAT',
  'ERR_HOLDFAST_CORRUPT',
  'ERR_HOLDFAST_LOCKED',
  'ERR_HOLDFAST_PERMISSION',
  'ERR_HOLDFAST_READ_ONLY',
  'ERR_HOLDFAST_READER_EXPIRED',
  'ERR_HOLDFAST_MEDIUM_UNAVAILABLE',
  'ERR_HOLDFAST_DURABILITY',
  'ERR_HOLDFAST_POOL_FULL',
  'ERR_HOLDFAST_DISK_FULL',
  'ERR_HOLDFAST_IO',
  'ERR_HOLDFAST_FAILED',
  'ERR_HOLDFAST_CONFLICT',
  'ERR_HOLDFAST_CLOSED',
  'ERR_HOLDFAST_SNAPSHOT_CLOSED',
  'ERR_HOLDFAST_ABORTED',
  'ERR_HOLDFAST_CODEC',
  'ERR_HOLDFAST_OUTCOME_UNKNOWN',
  'ERR_HOLDFAST_DIVERGED',
  'ERR_HOLDFAST_RUN_FINISHED',
  'ERR_HOLDFAST_RUN_ACTIVE',
  'ERR_HOLDFAST_FENCED',
  'ERR_HOLDFAST_SUSPENDED',
  'ERR_HOLDFAST_OPERATION_MISMATCH',
  'ERR_HOLDFAST_FORGOTTEN',
  'ERR_HOLDFAST_NOT_A_BACKUP',
  'ERR_HOLDFAST_BACKUP_MISMATCH',
  'ERR_HOLDFAST_NO_MEMORY',
] as const;

/** One of the codes in docs/errors.md. */
export type ErrorCode = (typeof errorCodes)[number];

/**
 * Every failure that is not a wrong argument: `if (error instanceof HoldfastError && error.code ===
 * 'ERR_HOLDFAST_LOCKED')`. Wrong arguments are a `TypeError` or a `RangeError` with a `code`.
 *
 * `instanceof` is true for errors of any copy of this package (a test runner loads it anew for each
 * file): copies share the addon, which makes errors of the class of the last one.
 */
export class HoldfastError extends Error {
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (this !== HoldfastError) return Function.prototype[Symbol.hasInstance].call(this, value);
    return types.isNativeError(value) && value.name === 'HoldfastError';
  }

  override readonly name = 'HoldfastError';
  /** What happened, from a closed list: decide by it, never by `message`. */
  readonly code: ErrorCode;
  /** The operating system's error number, if it refused. */
  readonly errno?: number;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown; errno?: number }) {
    super(
      message,
      options !== undefined && 'cause' in options ? { cause: options.cause } : undefined,
    );
    this.code = code;
    if (options?.errno) this.errno = options.errno;
  }
}

/** A wrong argument: a `TypeError` or a `RangeError` that carries a code. */
export type ArgumentError = (TypeError | RangeError) & { readonly code: ErrorCode };

export function typeError(message: string): ArgumentError {
  return Object.assign(new TypeError(message), { code: 'ERR_HOLDFAST_INVALID_ARGUMENT' as const });
}

export function rangeError(
  message: string,
  code:
    | 'ERR_HOLDFAST_OUT_OF_RANGE'
    | 'ERR_HOLDFAST_KEY_SIZE'
    | 'ERR_HOLDFAST_VALUE_SIZE' = 'ERR_HOLDFAST_OUT_OF_RANGE',
): ArgumentError {
  return Object.assign(new RangeError(message), { code });
}

/** The error for a native status; called by the addon, so that classes are chosen here only. */
export function errorFromNative(code: ErrorCode, message: string, errno: number): Error {
  switch (code) {
    case 'ERR_HOLDFAST_INVALID_ARGUMENT':
      return typeError(message);
    case 'ERR_HOLDFAST_OUT_OF_RANGE':
    case 'ERR_HOLDFAST_KEY_SIZE':
    case 'ERR_HOLDFAST_VALUE_SIZE':
      return rangeError(message, code);
    default:
      return new HoldfastError(code, message, { errno });
  }
}

export function hasCode(error: unknown, code: ErrorCode): error is HoldfastError {
  return error instanceof HoldfastError && error.code === code;
}

/** Was a commit refused because one of its conditions did not hold? */
export function isConflict(error: unknown): boolean {
  return hasCode(error, 'ERR_HOLDFAST_CONFLICT');
}

export function abortedError(signal: AbortSignal, what: string): HoldfastError {
  return new HoldfastError('ERR_HOLDFAST_ABORTED', `${what} was aborted`, { cause: signal.reason });
}

export function closedError(): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CLOSED',
    'The pool has been closed; open it again to go on',
  );
}

/**
 * Memory for `bytes` that are to be read. More than there is, or than an array of this Node.js
 * takes, is an error like any other.
 */
export function memoryFor<T>(bytes: number, take: () => T): T {
  try {
    return take();
  } catch (error) {
    // Of another realm, perhaps: Node.js takes the memory.
    if (!types.isNativeError(error) || error.name !== 'RangeError') throw error;
    throw new HoldfastError(
      'ERR_HOLDFAST_NO_MEMORY',
      `There is no memory for ${bytes} bytes in one piece; read less at once`,
      {
        cause: error,
      },
    );
  }
}

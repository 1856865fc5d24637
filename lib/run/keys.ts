/**
 * Where a run's parts are kept: the names of its keyspaces and the order of its journal's keys.
 *
 * A journal key is the run's id in UTF-8, a zero byte, and the entry's sequence number, big-endian.
 * An id holds no zero byte, so the entries of one run lie together, in the order they were
 * committed, and no run's keys begin with another's.
 */
import { rangeError, typeError } from '../errors';
import { isKeyText } from '../texts';
import type { Codec, RangeOptions } from '../types';

export const HEADERS_KEYSPACE = 'holdfast.runs';
export const JOURNAL_KEYSPACE = 'holdfast.journal';
/** Only written by format 1. */
export const STATES_KEYSPACE = 'holdfast.states';
/** Who drives each run. */
export const DRIVERS_KEYSPACE = 'holdfast.drivers';
/** Until when each holder of leases is taken to be alive. */
export const HOLDERS_KEYSPACE = 'holdfast.holders';
/** The ids of the runs that are not finished. */
export const OPEN_KEYSPACE = 'holdfast.open-runs';
/**
 * Those of them that have something to do: 0. Older releases wrote those that wait for a moment
 * too, with it.
 */
export const AWAKE_KEYSPACE = 'holdfast.awake-runs';
/** Those that wait for a moment, in the order of those; older releases: among the awake. */
export const ASLEEP_KEYSPACE = 'holdfast.asleep-runs';
/** Runs for which a signal or the resolution of an outcome has come, since somebody last looked. */
export const CALLED_KEYSPACE = 'holdfast.called-runs';
/** Those that have ended, in the order in which they did; not those of an adapter. */
export const ENDED_KEYSPACE = 'holdfast.ended-runs';
/** What is known of these keyspaces as a whole. */
export const MARKS_KEYSPACE = 'holdfast.run-marks';
/** Signals that wait to be taken. */
export const SIGNALS_KEYSPACE = 'holdfast.signals';
/** Effects without a receipt, and what was found out about them; both by idempotency key. */
export const INTENTS_KEYSPACE = 'holdfast.intents';
export const RESOLUTIONS_KEYSPACE = 'holdfast.resolutions';
export const OPERATIONS_KEYSPACE = 'holdfast.operations';

/** Half of what a key may hold, so that keys with more parts than these have room. */
const MAX_RUN_ID_BYTES = 512;
const MAX_STEP_NAME_BYTES = 512;
const MAX_SIGNAL_NAME_BYTES = 256;
const MAX_OPERATION_ID_BYTES = 512;

const SEQUENCE_BYTES = 8;
const MOMENT_BYTES = 8;

export interface EntryKey {
  readonly run: string;
  readonly sequence: number;
}

export const entryKeyCodec = {
  name: 'holdfast.entry-key',
  encode({ run, sequence }: EntryKey): Buffer {
    const idBytes = Buffer.byteLength(run);
    const bytes = Buffer.allocUnsafe(idBytes + 1 + SEQUENCE_BYTES);
    bytes.write(run, 0, 'utf8');
    bytes[idBytes] = 0;
    return numbered(bytes, sequence);
  },
  decode(bytes: Uint8Array): EntryKey {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const idBytes = view.byteLength - 1 - SEQUENCE_BYTES;
    return {
      run: view.toString('utf8', 0, idBytes),
      sequence: Number(view.readBigUInt64BE(idBytes + 1)),
    };
  },
} satisfies Codec<EntryKey>;

/** Makes it the key of another entry of the run. */
export function numbered(key: Buffer, sequence: number): Buffer {
  key.writeUInt32BE(Math.floor(sequence / 2 ** 32), key.length - SEQUENCE_BYTES);
  key.writeUInt32BE(sequence % 2 ** 32, key.length - SEQUENCE_BYTES / 2);
  return key;
}

export interface MomentKey {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly run: string;
}

/** By the moment, big-endian, then by the run's id. */
export const momentKeyCodec = {
  name: 'holdfast.moment-key',
  encode({ at, run }: MomentKey): Buffer {
    const bytes = Buffer.allocUnsafe(MOMENT_BYTES + Buffer.byteLength(run));
    bytes.writeBigUInt64BE(BigInt(at));
    bytes.write(run, MOMENT_BYTES, 'utf8');
    return bytes;
  },
  decode(bytes: Uint8Array): MomentKey {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { at: Number(view.readBigUInt64BE()), run: view.toString('utf8', MOMENT_BYTES) };
  },
} satisfies Codec<MomentKey>;

/** All entries of one run. */
export function entriesOf(run: string): RangeOptions<EntryKey> {
  return { gte: { run, sequence: 0 }, lte: { run, sequence: Number.MAX_SAFE_INTEGER } };
}

export function checkRunId(id: unknown): asserts id is string {
  checkName(id, 'a run id', MAX_RUN_ID_BYTES);
}

export function checkStepName(name: unknown): asserts name is string {
  checkName(name, 'the name of a step', MAX_STEP_NAME_BYTES);
}

export function checkSignalName(name: unknown): asserts name is string {
  checkName(name, 'the name of a signal', MAX_SIGNAL_NAME_BYTES);
}

export function checkOperationId(id: unknown): asserts id is string {
  checkName(id, 'an operation id', MAX_OPERATION_ID_BYTES);
}

/** Of the idempotency keys of a run's effects. */
export function keyPrefix(uid: string): string {
  return `hf-${uid}-`;
}

/** All signals that wait for one run: a name never begins with this. */
export function signalsFor(run: string): RangeOptions<EntryKey> {
  return { gte: { run, sequence: 0 }, lt: { run: `${run}\u0001`, sequence: 0 } };
}

/** Signals of one name lie together under this, in the order they came. */
export function signalsOf(run: string, name: string): string {
  return `${run}\0${name}`;
}

/** Of a run's id: its beginning, or one that need not be there. */
export function checkIdText(value: unknown, what: string): asserts value is string | undefined {
  if (value !== undefined) checkText(value, what);
}

function checkName(value: unknown, what: string, maxBytes: number): void {
  if (typeof value !== 'string') throw typeError(`${what} is a string; got ${typeof value}`);
  const bytes = Buffer.byteLength(value);
  if (bytes === 0 || bytes > maxBytes) {
    throw rangeError(`${what} is 1 to ${maxBytes} bytes of UTF-8; got ${bytes}`);
  }
  checkText(value, what);
}

function checkText(value: unknown, what: string): void {
  if (typeof value !== 'string') throw typeError(`${what} is a string; got ${typeof value}`);
  if (!isKeyText(value)) {
    throw typeError(
      `${what} is well-formed text without a zero character; got ${JSON.stringify(value)}`,
    );
  }
}

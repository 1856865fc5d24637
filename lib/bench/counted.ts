/**
 * Reads a log of strace: what the operations between two marks asked of the kernel. It says whether
 * a driver is as durable as it is told to be, on a busy machine as on a quiet one.
 *
 * A mark is access("/holdfast-bench-mark"), which nothing else does. Writes count when they go to a
 * file under the trial's folder. A write through a descriptor that was opened with O_SYNC or
 * O_DSYNC (LMDB writes its meta pages so) is a sync too.
 */
import { accessSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

export const MARK = '/holdfast-bench-mark';

/** So many turns of a workload lie between the marks. */
export const COUNTED_TURNS = 50;

export const TRACED =
  'open,openat,access,faccessat,faccessat2,fsync,fdatasync,msync,sync_file_range,syncfs,sync,' +
  'write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2';

export function mark(): void {
  try {
    accessSync(MARK);
  } catch {
    // It is not there; only strace was to see this.
  }
}

export function straceMissing(): string | undefined {
  const { status, error } = spawnSync('strace', ['-f', '-o', '/dev/null', 'true'], {
    stdio: 'ignore',
  });
  return status === 0
    ? undefined
    : `not counted: strace ${error === undefined ? 'is not allowed to trace here' : 'is not installed'}`;
}

const SYNCS = /^(fsync|fdatasync|syncfs|sync|sync_file_range)$/;
const WRITES = /^(write|pwrite64|writev|pwritev|pwritev2)$/;

/** Calls of one line by process: `unfinished` and `resumed` are put together. */
function* wholeCalls(log: string): Generator<string> {
  const begun = new Map<string, string>();
  for (const line of log.split('\n')) {
    const [, pid, text] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (pid === undefined || text === undefined) continue;
    const unfinished = /^(.*) <unfinished \.\.\.>$/.exec(text)?.[1];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1];
    if (unfinished !== undefined) begun.set(pid, unfinished);
    else yield resumed === undefined ? text : (begun.get(pid) ?? '') + resumed;
  }
}

/**
 * Per operation: each call by name, `syncs` of any kind, `writes` and `writtenBytes` to the store's
 * files.
 */
export function callsIn(log: string, folder: string, operations: number): Record<string, number> {
  const made = new Map<string, number>();
  const add = (name: string, by = 1): void => void made.set(name, (made.get(name) ?? 0) + by);
  const synchronous = new Set<string>();
  let marks = 0;
  for (const call of wholeCalls(log)) {
    if (call.includes(MARK)) marks += 1;
    const [, name = '', target = ''] = /^(\w+)\((\d+)?/.exec(call) ?? [];
    const result = /= (\d+)(?:<[^>]*>)?$/.exec(call)?.[1] ?? '0';
    if (name === 'openat' || name === 'open') {
      if (/\bO_D?SYNC\b/.test(call)) synchronous.add(result);
      else synchronous.delete(result);
    }
    if (marks !== 1) continue;
    const ours = call.includes(`<${folder}`);
    if (SYNCS.test(name) || (name === 'msync' && call.includes('MS_SYNC'))) {
      add(name);
      add('syncs');
    } else if (WRITES.test(name) && ours) {
      add(synchronous.has(target) ? `synchronous ${name}` : name);
      add('writes');
      add('writtenBytes', Number(result));
      if (synchronous.has(target)) add('syncs');
    } else if (name.startsWith('rename')) add('rename');
  }
  if (marks !== 2) throw new Error(`the traced process made ${marks} marks in place of 2`);
  if (!made.has('syncs')) made.set('syncs', 0);
  return Object.fromEntries([...made].map(([name, count]) => [name, count / operations]));
}

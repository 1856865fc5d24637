/**
 * What to do about an error on the command line, where its message, written for programs, does not
 * say it.
 */
import type { ErrorCode } from '../errors';

const HINTS: Partial<Record<ErrorCode, string>> = {
  ERR_HOLDFAST_NOT_A_POOL:
    'It was not touched. Is it the right path? `holdfast salvage` saves what is left of a pool that was written over',
  ERR_HOLDFAST_CORRUPT:
    '`holdfast check` lists all damage of a pool, `holdfast salvage` saves what is valid, `holdfast restore` brings a backup back',
  ERR_HOLDFAST_NEWER_FORMAT: 'It was not touched. Update holdfast',
  ERR_HOLDFAST_LOCKED:
    'These work beside that process: info, ls, get, regions, check, export, runs, show, timeline, history, diff, and resolve without an id. ' +
    'Everything else is done by that process itself (pool.backup, pool.signal, …), or when it has closed the pool',
  ERR_HOLDFAST_PERMISSION:
    'Run this as the owner of the file (`ls -l` shows who that is), or change the mode of the file and its folder',
  ERR_HOLDFAST_MEDIUM_UNAVAILABLE: '`holdfast doctor <place>` says what a place offers',
  ERR_HOLDFAST_DURABILITY: '`holdfast doctor <place>` says what a place offers',
  ERR_HOLDFAST_POOL_FULL: 'Delete something, or `holdfast resize <pool> <size>`',
  ERR_HOLDFAST_IO:
    "Look at the kernel's log (dmesg). Opened again, the pool has all that was acknowledged as durable",
};

export function hintFor(code: string): string | undefined {
  return HINTS[code as ErrorCode];
}

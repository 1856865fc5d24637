/** Which runs have something to do, and who is to do it: one who claims them, or their parents. */
import type { RunHeader } from './entries';
import { Holder, isDriven } from './holder';
import type { Journals } from './journals';
import { checkFormat } from './open';
import { isOfOneRun } from './unreadable';
import { isDue } from './waits';

/** May it be claimed, if nobody drives it? */
export function isReady(journals: Journals, id: string, header: RunHeader): boolean {
  if (header.format !== 1) checkFormat(id, header);
  if (header.status === 'finished' || header.owner !== undefined) return false;
  return header.status === 'running' || isDue(journals, id, header.waits ?? []);
}

/** Would somebody who claims any run be given this one, or its parent in its place? */
export function isRunnable(journals: Journals, id: string, header: RunHeader): boolean {
  return (
    isReady(journals, id, header) &&
    !isDriven(journals, id) &&
    (header.parent === undefined || whoGoesOn(journals, id, '') !== undefined)
  );
}

/**
 * Who is to go on where a run may: its parent, where that may go on too and nobody drives it, and
 * so on, of those whose ids begin with `prefix`. One that cannot be read does not go on, and keeps
 * no child from it. Undefined: its parent is driven, and comes to it.
 */
export function whoGoesOn(journals: Journals, id: string, prefix: string): string | undefined {
  let first = id;
  try {
    for (;;) {
      const parent = journals.headers.get(first)?.parent;
      if (parent === undefined || !parent.startsWith(prefix)) return first;
      const header = journals.headers.get(parent);
      if (header === undefined) return first;
      const driver = journals.drivers.get(parent);
      if (Holder.of(journals.pool).isAlive(driver, parent)) {
        const openedBy = journals.drivers.get(first)?.parent;
        return openedBy !== undefined && openedBy < driver!.token ? undefined : first;
      }
      if (!isReady(journals, parent, header)) return first;
      first = parent;
    }
  } catch (error) {
    if (!isOfOneRun(error)) throw error;
    return first;
  }
}

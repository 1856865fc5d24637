/**
 * Which call is which: a name and its occurrence, counted apart for each step the calls are made
 * in, so that steps that run side by side and nest keep their numbers whatever the order in which
 * they get on. A step of one run may drive another run, whose steps call the first one again: each
 * run's calls are counted in the innermost of its own steps. What the library calls of the user's
 * (hooks, probes, compensations) it does not call in every life, so what these call is counted
 * apart too: else the same call of the run would have another number where they are not called.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** Calls of different categories may have the same name. `step`: steps, decisions and tools. */
export type Category = 'step' | 'signal' | 'sleep' | 'child' | 'version';

/** Of what is called in some lives and not in others. */
const ASIDES = ['hook', 'probe', 'undo'] as const;
type Aside = (typeof ASIDES)[number];

export interface Scope {
  /** Only calls of this driver's run are numbered here. */
  readonly driver: Driver;
  /** The identity of the step the calls are made in; empty for the run itself. */
  readonly within: string;
  readonly calls: Map<string, number>;
  /** In what this step was called, of this run or another. */
  readonly outer: Scope | undefined;
  /** Of an attempt of a tool behind which another was begun: resolves when the call has ended. */
  over?: Promise<void>;
}

export interface Driver {
  /** It drives no more. */
  readonly ended: boolean;
}

const scopes = new AsyncLocalStorage<Scope>();

export function scopeOf(root: Scope): Scope {
  let scope = innermost();
  while (scope && scope.driver !== root.driver) scope = scope.outer;
  return scope ?? root;
}

export function scopeWithin(driver: Driver, identity: string): Scope {
  let outer = innermost();
  // Who drives one run from within another, and so on, keeps none that has ended.
  while (outer?.driver.ended) outer = outer.outer;
  return { driver, within: identity, calls: new Map(), outer };
}

/** Calls `fn`; what it calls of the run is numbered in `scope`. */
export function inside<R>(scope: Scope, fn: () => R): R {
  return scopes.run(scope, fn);
}

/** In which this is called. */
export function innermost(): Scope | undefined {
  return scopes.getStore();
}

export function nextOccurrence(scope: Scope, category: Category, name: string): number {
  const call = `${category} ${name}`;
  const occurrence = (scope.calls.get(call) ?? 0) + 1;
  scope.calls.set(call, occurrence);
  return occurrence;
}

/** Names hold no zero character, so no two calls share an identity. */
export function identityOf(
  within: string | undefined,
  category: Category | Aside,
  name: string,
  occurrence: number,
): string {
  return `${within ?? ''}\0${category} ${occurrence} ${name}`;
}

/** What is called within a hook, a probe or a compensation; each needs a name of its own. */
export function asideOf(within: string, kind: Aside, name: string): string {
  return identityOf(within, kind, name, 1);
}

/** Of the innermost part of an identity: is it of such a kind, and of which name? */
export function nameAside(identity: string, kind: Aside): string | undefined {
  const last = identity.slice(identity.lastIndexOf('\0') + 1);
  const before = `${kind} 1 `;
  return last.startsWith(before) ? last.slice(before.length) : undefined;
}

/** Was that call made within a hook, a probe or a compensation, or one of this kind? */
export function isAside(identity: string, kind?: Aside): boolean {
  return (kind ? [kind] : ASIDES).some((each) => identity.includes(`\0${each} `));
}

/** Was that call made in the one of this identity, at whatever depth? */
export function isWithin(inner: string, identity: string): boolean {
  return inner.startsWith(`${identity}\0`);
}

/** The identities of the calls it was made in, the outermost first. */
export function* outerOf(identity: string): Iterable<string> {
  for (let end = identity.indexOf('\0', 1); end > 0; end = identity.indexOf('\0', end + 1))
    yield identity.slice(0, end);
}

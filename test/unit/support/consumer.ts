/**
 * Compiled, never run, by types.test.ts: what a user of TypeScript writes, with the strictest rules
 * and without a cast.
 */
import { open, type ProbeAnswer, type Snapshot } from '../../../dist/index.js';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Called with `true` where the types are the same. */
const same = <A, B>(are: Equal<A, B>): void => void are;

export async function keyspaces(): Promise<void> {
  await using pool = await open('./a.holdfast');
  const plain = pool.keyspace('a').get('k');
  same<typeof plain, unknown>(true);
  const named = pool.keyspace<string, { n: number }>('a').get('k');
  same<typeof named, { n: number } | undefined>(true);
  const texts = pool.keyspace('a', { value: 'utf8' }).get('k');
  same<typeof texts, string | undefined>(true);
  const bytes = pool.keyspace('a', { key: 'uint64', value: 'bytes' });
  for (const [key, value] of bytes.range({ gte: 5 })) {
    same<typeof key, number | bigint>(true);
    same<typeof value, Uint8Array>(true);
  }
  const objects = pool.keyspace('a', { key: 'bytes' });
  same<Parameters<typeof objects.get>[0], Uint8Array>(true);
  const codec = {
    name: 'dates',
    encode: (date: Date) => String(date.getTime()),
    decode: (text: Uint8Array) => new Date(Number(Buffer.from(text))),
  };
  const dates = pool.keyspace('a', { key: codec, value: 'uint64' });
  same<
    Parameters<typeof dates.put>,
    [key: Date, value: number | bigint, options?: Parameters<typeof dates.put>[2]]
  >(true);
  // @ts-expect-error a value of another type
  pool.batch().put(bytes, 5, 'text');
}

export async function feeds(): Promise<void> {
  await using pool = await open('./a.holdfast');
  const jobs = pool.keyspace<string, { n: number }>('jobs');
  for await (const { changes } of pool.watch({ keyspace: jobs })) {
    const [change] = changes;
    same<typeof change, (typeof changes)[number] | undefined>(true);
    if (change?.deleted === false) same<typeof change.value, { n: number }>(true);
  }
  const given = await pool.watch({ keyspace: jobs }).next();
  if (given.done) same<typeof given.value, undefined>(true);
}

/** What may be left out may be undefined too. */
export async function undefinedOptions(
  limit: number | undefined,
  signal: AbortSignal | undefined,
  snapshot: Snapshot | undefined,
): Promise<void> {
  await using pool = await open('./a.holdfast', { retain: { ms: 1000, bytes: limit } });
  pool.region('r', { size: limit });
  pool.regions({ snapshot });
  await pool.check({ signal, onProgress: undefined });
  pool.history('trip', { reverse: undefined, limit });
}

export async function runs(
  label: string | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using pool = await open('./a.holdfast', { size: undefined });
  const run = await pool.run('trip', {
    input: { to: 'Oslo' },
    hooks: undefined,
    suspendAfter: undefined,
  });
  same<typeof run.input, { to: string }>(true);
  const plan = await run.decision('plan', () => ({ flight: 'HF 7' }));
  const seat = await run.step('seat', { plan }, async ({ plan: { flight } }) => `${flight} 7A`, {
    durability: undefined,
  });
  same<typeof seat, string>(true);
  const outside = new Map([['key', { number: 'B-1' }]]);
  // As the README has it.
  const probe = async (key: string) =>
    outside.has(key) ? { happened: true, result: outside.get(key) } : { happened: false };
  const booking = await run.tool(
    'book',
    { seat },
    (args, { idempotencyKey }) => ({ number: args.seat + idempotencyKey }),
    {
      probe,
      signal,
      timeout: undefined,
      compensate: ({ number }, { fencingToken }) => void [number.length, fencingToken + 1],
    },
  );
  same<typeof booking, { number: string }>(true);
  const answer: ProbeAnswer<string> = 'unknown';
  // @ts-expect-error a probe of another result
  await run.tool('count', 1, () => 5, { probe: () => ({ happened: true, result: 'five' }) });
  await run.tool('count', 1, () => 'five', { probe: () => answer });
  await run.checkpoint({ booking }, { label });
  for (const info of pool.runs({ prefix: label, status: 'unreadable' })) console.log(info.problem);
  for (const wait of (await pool.claim({ prefix: label }))?.continued
    ? []
    : pool.runInfo('trip')!.waits) {
    if ('signal' in wait) console.log(wait.signal);
    else if ('until' in wait) console.log(wait.until);
    else if ('outcome' in wait) console.log(wait.outcome);
    else console.log(wait.run);
  }
  const { begun } = await pool.begin('job', {
    input: label,
    notBefore: new Date(),
    batch: pool.batch(),
  });
  same<typeof begun, boolean>(true);
  const job = await pool.claim<string>({ wait: true, signal: new AbortController().signal });
  same<typeof job.input, string>(true);
  await job.park(new Error(label), { until: 2 ** job.attempt });
  for (const { failed } of pool.runs({ status: 'parked' }))
    console.log(failed?.times, failed?.error);
  await pool.unpark('job');
  const typed = await pool.run<string, { n: number }, boolean>('typed', { input: 'a' });
  same<typeof typed.state, { n: number } | undefined>(true);
  // @ts-expect-error a result of another type
  await typed.finish('no boolean');
  // @ts-expect-error no result, where there is to be one
  await typed.finish();
  const memory = pool.keyspace('memory');
  // What a hook or a compensation gives is nobody's business: that of a commit, here.
  const remembering = await pool.run('remembering', {
    hooks: { onDecision: ({ run: { id }, value }) => memory.put(id, value) },
  });
  await remembering.tool('book', 1, () => 'B-1', { compensate: (number) => memory.delete(number) });
  await remembering.finish();
}

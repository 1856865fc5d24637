/**
 * What an agent does: a message list that grows by one message a step, and a large state of which
 * little changes.
 */
import { need, valueOf } from './inputs';
import { deviceBytes } from './machine';
import { latencyOf, median } from './statistics';
import { counting, nowNs, timedAsync } from './timing';
import type { Measured, OpenWish, Store, Workload } from './line';

export async function agent(
  store: Store,
  { bytes, steps }: Workload,
  { folder }: OpenWish,
): Promise<Measured> {
  const session = await need(store.agent, 'agent').call(store, steps);
  const samples = new Float64Array(steps);
  const bytesPerStep: [number, number][] = [];
  const every = Math.max(1, Math.floor(steps / 50));
  const first = deviceBytes(folder) ?? 0;
  let device = first;
  const messages: string[] = [];
  let i = 0;
  let begun = nowNs();
  const next = (): string => {
    // Every message is another, as an agent's are.
    const message = valueOf(bytes / 2, i + 1).toString('hex');
    messages.push(message);
    begun = nowNs();
    return message;
  };
  const done = (): void => {
    samples[i++] = nowNs() - begun;
    if (i % every !== 0) return;
    const now = deviceBytes(folder) ?? 0;
    bytesPerStep.push([i, (now - device) / every]);
    device = now;
  };
  if (session.drive !== undefined) await session.drive(next, done);
  for (; session.step !== undefined && i < steps; done()) {
    const message = next();
    await session.step(messages, message);
  }
  await session.end();
  if (i !== steps) throw new Error(`${i} steps were made in place of ${steps}`);
  const around = (step: number): number =>
    median([...samples.subarray(Math.max(0, step - 25), step + 25)]) / 1000;
  const total = samples.reduce((sum, sample) => sum + sample, 0);
  const smooth = (at: number): number =>
    median([...samples.subarray(Math.max(0, at - every), at)]) / 1000;
  const latency = latencyOf(samples.slice(), 1);
  const counts = {
    meanStepUs: total / steps / 1000,
    earlyStepUs: around(50),
    lateStepUs: around(steps - 25),
    deviceMiBInAll: ((deviceBytes(folder) ?? 0) - first) / 2 ** 20,
    messagesMiB: (steps * bytes) / 2 ** 20,
  };
  const usPerStep = bytesPerStep.map(([step]) => [step, smooth(step)] as const);
  return { latency, counts, series: { usPerStep, deviceBytesPerStep: bytesPerStep } };
}

export async function state(
  store: Store,
  { bytes, budgetMs }: Workload,
  wish: OpenWish,
): Promise<Measured> {
  const save = need(store.saveState, 'way to keep a state');
  const parts = bytes / 1024;
  const kept: Record<string, string> = {};
  for (let i = 0; i < parts; ++i) kept[`part${i}`] = valueOf(512, i + 1).toString('hex');
  let operations = 0;
  return counting(store, wish, async () => {
    const latency = await timedAsync(async () => {
      kept[`part${operations % parts}`] = valueOf(512, ++operations + 7919).toString('hex');
      await save.call(store, kept);
    }, budgetMs);
    return { operations, measured: { latency, rate: 1e9 / latency.p50 } };
  });
}

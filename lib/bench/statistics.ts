/** Medians, quantiles and the spread of few trials. */
import type { Latency } from './line';

/** The value below which a share of `sorted` lies. */
export function quantile(sorted: readonly number[] | Float64Array, share: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * share;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

export function median(values: readonly number[]): number {
  return quantile(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

/** How far the trials lie apart: (largest - smallest) / median. */
export function spread(values: readonly number[]): number {
  if (values.length < 2) return 0;
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

const CURVE_SHARES = [
  0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1,
];

export function latencyOf(samplesNs: Float64Array, perSample: number): Latency {
  const sorted = samplesNs.sort();
  return {
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    least: sorted[0] ?? Number.NaN,
    samples: sorted.length,
    perSample,
    curve: CURVE_SHARES.map((share) => [share, Math.round(quantile(sorted, share))] as const),
  };
}

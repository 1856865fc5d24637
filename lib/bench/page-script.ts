/**
 * What runs in the page: draws every plot with uPlot. It is written out as text and runs in a
 * browser, so it uses nothing but its arguments and the browser's own names.
 */
import type { Plot, Points } from './plots';

/** As much of the browser as is used; the package is not compiled with its types. */
interface Element {
  clientWidth: number;
  textContent: string;
  id: string;
  className: string;
  append(...children: Element[]): void;
  replaceChildren(): void;
  dataset: Record<string, string>;
  ownerDocument: {
    createElement(name: string): Element;
    documentElement: Element;
    defaultView: View;
  };
}
interface View {
  getComputedStyle(element: Element): { color: string };
  matchMedia(query: string): {
    matches: boolean;
    addEventListener(type: string, listener: () => void): void;
  };
  addEventListener(type: string, listener: () => void): void;
}
interface Drawn {
  readonly ctx: object;
  setSize(size: { width: number; height: number }): void;
}
type UPlot = new (options: object, data: (number | null)[][], target: Element) => Drawn;

export function drawPlots(uPlotClass: UPlot, plots: readonly Plot[], target: Element): void {
  const page = target.ownerDocument;
  const view = page.defaultView;
  const dark = view.matchMedia('(prefers-color-scheme: dark)');
  const HEIGHT = 320;

  // One colour a family of drivers, one dash a kind of them: C++ is dashed, what waits for promises
  // is dotted.
  const families: readonly (readonly [RegExp, string, string])[] = [
    [/writemap/, '#b7791f', '#f2c14e'],
    [/lmdb/, '#d9480f', '#ff9f5a'],
    [/sqlite.*FULL/i, '#2b8a3e', '#69db7c'],
    [/sqlite/i, '#5c940d', '#c0eb75'],
    [/level/, '#c2255c', '#faa2c1'],
    [/JSON/, '#846358', '#d2a898'],
    [/libpmemobj/, '#7048e8', '#b197fc'],
    [/raw|no saver/, '#5f6b7a', '#aab4c2'],
    [/MemorySaver/, '#d9480f', '#ff9f5a'],
    [/Holdfast/, '#1864ab', '#4dabf7'],
  ];
  const others = [
    ['#1864ab', '#4dabf7'],
    ['#d9480f', '#ff9f5a'],
    ['#2b8a3e', '#69db7c'],
    ['#7048e8', '#b197fc'],
  ] as const;
  const colourOf = (name: string, at: number): string => {
    const family = families.find(([pattern]) => pattern.test(name));
    const [light, night] =
      family === undefined ? others[at % others.length]! : [family[1], family[2]];
    return dark.matches ? night : light;
  };
  const dashOf = (name: string): readonly number[] | undefined =>
    /\(C\+\+\)/.test(name) ? [8, 5] : /await|a key a message/.test(name) ? [2, 4] : undefined;

  const rounded = (value: number): string => String(+value.toPrecision(3));
  const units = {
    ns: (ns: number): string =>
      ns < 1e3
        ? `${rounded(ns)} ns`
        : ns < 1e6
          ? `${rounded(ns / 1e3)} us`
          : ns < 1e9
            ? `${rounded(ns / 1e6)} ms`
            : `${rounded(ns / 1e9)} s`,
    bytes: (bytes: number): string =>
      bytes < 1024
        ? `${rounded(bytes)} B`
        : bytes < 2 ** 20
          ? `${rounded(bytes / 1024)} KiB`
          : `${rounded(bytes / 2 ** 20)} MiB`,
    count: (value: number): string =>
      value >= 1e6
        ? `${rounded(value / 1e6)} M`
        : value >= 1e3
          ? `${rounded(value / 1e3)} k`
          : rounded(value),
  };

  // 0 % at 0, 90 % at 1, 99 % at 2, …; the slowest of all at 4.
  const nines = (share: number): number => Math.min(4, -Math.log10(Math.max(1 - share, 1e-4)));
  const NINES = {
    '0': '0 %',
    '0.301': '50 %',
    '1': '90 %',
    '2': '99 %',
    '3': '99.9 %',
    '4': 'max',
  } as const;

  const xOf = (plot: Plot, x: number): number => (plot.scale === 'nines' ? nines(x) : x);

  function axisOfX(plot: Plot, xs: readonly number[]): object {
    if (plot.scale === 'linear') return {};
    if (plot.scale === 'log') {
      const values = (): string[] => xs.map((x) => plot.names?.[String(x)] ?? String(x));
      return { splits: () => xs, values, filter: (_: unknown, splits: number[]) => splits };
    }
    const splits = Object.keys(NINES)
      .map(Number)
      .sort((a, b) => a - b);
    return {
      splits: () => splits,
      values: () => splits.map((split) => NINES[String(split) as keyof typeof NINES]),
    };
  }

  function xText(plot: Plot, x: number): string {
    if (plot.scale === 'nines')
      return x >= 4 ? 'max' : `${+(100 * (1 - 10 ** -x)).toPrecision(4)} %`;
    return plot.names?.[String(x)] ?? String(x);
  }

  function optionsOf(plot: Plot, xs: readonly number[], width: number): object {
    const ink = view.getComputedStyle(page.documentElement).color;
    const text = units[plot.unit];
    const values = (_: unknown, splits: readonly (number | null)[]): string[] =>
      splits.map((split) => (split === null ? '' : text(split)));
    const axis = {
      stroke: ink,
      font: '12px system-ui, sans-serif',
      labelFont: '12px system-ui, sans-serif',
      grid: { stroke: 'rgba(128,128,128,0.18)', width: 1 },
      ticks: { stroke: 'rgba(128,128,128,0.3)', width: 1 },
    };
    // The legend's marks are borders.
    const dashNames = [
      '',
      ...plot.series.map(
        ({ name }) => ({ 8: 'dashed', 2: 'dotted' })[dashOf(name)?.[0] ?? 0] ?? 'solid',
      ),
    ];
    const margin =
      plot.scale === 'log'
        ? { range: (_: unknown, low: number, high: number) => [low / 1.3, high * 1.3] }
        : {};
    return {
      width,
      height: HEIGHT,
      padding: [14, 18, 0, 0],
      scales: {
        x: { time: false, distr: plot.scale === 'log' ? 3 : 1, ...margin },
        y: { distr: 3 },
      },
      axes: [
        { ...axis, label: plot.x, labelSize: 22, size: 34, ...axisOfX(plot, xs) },
        { ...axis, label: plot.y, labelSize: 22, size: 66, values },
      ],
      legend: {
        live: true,
        markers: { width: 3, dash: (_: unknown, at: number) => dashNames[at] },
      },
      cursor: { focus: { prox: 24 } },
      focus: { alpha: 0.25 },
      series: [
        {
          label: plot.x,
          value: (_: unknown, x: number | null) => (x === null ? '' : xText(plot, x)),
        },
        ...plot.series.map(({ name }, at) => ({
          label: name,
          stroke: colourOf(name, at),
          dash: dashOf(name),
          width: name === 'Holdfast' || name === 'LangGraph, Holdfast' ? 3 : 1.75,
          spanGaps: true,
          points: { show: xs.length < 12, size: 6 },
          value: (_: unknown, y: number | null) => (y === null ? '' : text(y)),
        })),
      ],
    };
  }

  function dataOf(plot: Plot): (number | null)[][] {
    const at = (points: Points): Map<number, number> =>
      new Map(points.map(([x, y]) => [xOf(plot, x), y]));
    const known = plot.series.map(({ points }) => at(points));
    const xs = [...new Set(known.flatMap((map) => [...map.keys()]))].sort((a, b) => a - b);
    return [xs, ...known.map((map) => xs.map((x) => map.get(x) ?? null))];
  }

  let drawn: (readonly [Drawn, Element])[] = [];
  const widthIn = (figure: Element): number => Math.max(300, figure.clientWidth - 28);

  function element(name: string, text: string, className = ''): Element {
    const made = page.createElement(name);
    made.textContent = text;
    made.className = className;
    return made;
  }

  function draw(): void {
    target.replaceChildren();
    drawn = [];
    let section = '';
    let grid = target;
    plots.forEach((plot, at) => {
      if (plot.section !== section || at === 0) {
        section = plot.section;
        if (section !== '') target.append(element('h2', section));
        grid = element('div', '', 'grid');
        target.append(grid);
      }
      const figure = page.createElement('figure');
      figure.append(element('figcaption', plot.title), element('p', plot.note, 'note'));
      grid.append(figure);
      const data = dataOf(plot);
      const made = new uPlotClass(
        optionsOf(plot, data[0] as number[], widthIn(figure)),
        data,
        figure,
      );
      figure.dataset.drawn = made.ctx === undefined ? 'no' : 'yes';
      drawn.push([made, figure]);
    });
    target.dataset.plots = String(plots.length);
  }

  draw();
  dark.addEventListener('change', draw);
  view.addEventListener('resize', () => {
    for (const [made, figure] of drawn) made.setSize({ width: widthIn(figure), height: HEIGHT });
  });
}

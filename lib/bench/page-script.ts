/**
 * What runs in the page: draws every plot with uPlot. It is written out as text and runs in a browser, so it uses nothing but its
 * arguments and the browser's own names.
 */

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly logX: boolean;
  /** Are the values nanoseconds? They are labelled with the unit that fits. */
  readonly nanoseconds: boolean;
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
}

/** As much of the browser as is used; the package is not compiled with its types. */
interface Element {
  clientWidth: number;
  textContent: string;
  append(...children: Element[]): void;
  dataset: Record<string, string>;
  ownerDocument: { createElement(name: string): Element; documentElement: Element; defaultView: View };
}
interface View {
  getComputedStyle(element: Element): { color: string };
}
type UPlot = new (options: object, data: (number | null)[][], target: Element) => { readonly ctx: object };

export function drawPlots(uPlotClass: UPlot, plots: readonly Plot[], target: Element): void {
  const page = target.ownerDocument;
  const ink = page.defaultView.getComputedStyle(page.documentElement).color;
  const colours = ['#0b7285', '#e8590c', '#5f3dc4', '#2b8a3e', '#c2255c', '#846358', '#1971c2', '#868e96'];
  const time = (ns: number): string =>
    ns < 1e3 ? `${ns} ns` : ns < 1e6 ? `${+(ns / 1e3).toPrecision(3)} us` : `${+(ns / 1e6).toPrecision(3)} ms`;
  const short = (value: number): string =>
    value >= 1e6 ? `${value / 1e6} M` : value >= 1e3 ? `${value / 1e3} k` : String(+value.toPrecision(3));
  for (const plot of plots) {
    const figure = page.createElement('figure');
    const caption = page.createElement('figcaption');
    caption.textContent = plot.title;
    figure.append(caption);
    target.append(figure);
    const xs = [...new Set(plot.series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
    const columns = plot.series.map(({ points }) => {
      const known = new Map(points);
      return xs.map((x) => known.get(x) ?? null);
    });
    const text = plot.nanoseconds ? time : short;
    const labels = (_: unknown, values: readonly (number | null)[]): string[] =>
      values.map((value) => (value === null ? '' : text(value)));
    const axis = { stroke: ink, grid: { stroke: 'rgba(128,128,128,0.2)' }, ticks: { stroke: 'rgba(128,128,128,0.3)' } };
    const made = new uPlotClass(
      {
        width: Math.max(300, figure.clientWidth - 26),
        height: 300,
        scales: { x: { time: false, distr: plot.logX ? 3 : 1 }, y: { distr: 3 } },
        axes: [
          { ...axis, label: plot.x },
          { ...axis, label: plot.y, size: 70, values: labels },
        ],
        series: [
          { label: plot.x },
          ...plot.series.map(({ name }, i) => ({
            label: name,
            stroke: colours[i % colours.length],
            width: 2,
            spanGaps: true,
            points: { show: xs.length < 30 },
            value: (_: unknown, value: number | null) => (value === null ? '' : text(value)),
          })),
        ],
      },
      [xs, ...columns],
      figure,
    );
    figure.dataset.drawn = made.ctx === undefined ? 'no' : 'yes';
  }
  target.dataset.plots = String(plots.length);
}

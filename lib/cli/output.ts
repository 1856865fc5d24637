/**
 * How every command speaks: tables and colour for people, one JSON value on stdout for programs.
 * Results go to stdout; progress goes to stderr, and only where somebody watches a terminal.
 */
import { inspect, stripVTControlCharacters, types } from 'node:util';

import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import pc from 'picocolors';

import type { DurabilityClass, Medium } from '../types';
import { hintFor } from './hints';

/** What a command ends with; listed in `holdfast --help`. */
export const EXIT = { ok: 0, bad: 1, usage: 2, failed: 3 } as const;

/** How a command hands that back. */
export type Finish = (code: number) => void;

export interface Progress {
  update(value: number, fields?: Record<string, string | number>): void;
  stop(): void;
}

export class Output {
  /** `to`: where results go when stdout has something else to carry. */
  constructor(
    readonly json: boolean,
    private readonly to: NodeJS.WriteStream = process.stdout,
  ) {}

  /** A line for people; nothing with --json. */
  line(text = ''): void {
    if (!this.json) this.to.write(`${this.to.isTTY ? harmless(text) : text}\n`);
  }

  /** The machine's answer; nothing without --json. */
  value(value: unknown): void {
    if (this.json) this.to.write(`${JSON.stringify(value, printable(), 2)}\n`);
  }

  /** Of the terminal that results go to; Infinity where there is none. */
  get columns(): number {
    return this.to.isTTY && this.to.columns > 0 ? this.to.columns : Infinity;
  }

  /** Where a terminal is too narrow for a value, it is broken into lines below each other. */
  pairs(rows: readonly (readonly [name: string, value: string | number])[]): void {
    const table = new Table({ style: { head: [], border: [] }, chars: QUIET_BORDERS });
    // A cell has one character of room on both sides.
    const names = Math.max(0, ...rows.map(([name]) => widthOf(name)));
    const room = Math.max(LEAST_COLUMN, this.columns - names - BETWEEN - 4);
    for (const [name, value] of rows) {
      const text = cellText(String(value), this.to.isTTY);
      table.push([pc.dim(name), wrapped(text, room).join('\n')]);
    }
    this.printTable(table);
  }

  /**
   * Where a terminal is too narrow, the widest of the columns that `mayCut` names are cut, and if
   * that does not do, the others are broken.
   */
  table(
    head: readonly string[],
    rows: readonly (readonly (string | number)[])[],
    mayCut: readonly string[] = [],
  ): void {
    const { columns } = this;
    const cells = rows.map((row) => row.map((cell) => cellText(String(cell), this.to.isTTY)));
    const cut = head.map((name) => mayCut.includes(name));
    const { widths, side } =
      columns < Infinity
        ? within(columns, [[...head], ...cells], cut)
        : { widths: undefined, side: 1 };
    const fitting = (cell: string, at: number): string =>
      widths === undefined ? cell : (cut[at] ? shortened : broken)(cell, widths[at]!);
    // A table takes a time that rises with the square of its rows: many are printed as several
    // tables that have the same widths.
    const several = cells.length > ROWS_TOGETHER ? naturalWidths([[...head], ...cells]) : undefined;
    const colWidths = (widths ?? several)?.map((width) => width + 2 * side);
    for (let from = 0; from === 0 || from < cells.length; from += ROWS_TOGETHER) {
      const table = new Table({
        head: from > 0 ? [] : head.map((name) => pc.dim(name)),
        style: { head: [], border: [], 'padding-left': side, 'padding-right': side },
        chars: QUIET_BORDERS,
        ...(colWidths && { colWidths }),
      });
      table.push(...cells.slice(from, from + ROWS_TOGETHER).map((row) => row.map(fitting)));
      this.printTable(table);
    }
  }

  private printTable(table: { toString(): string }): void {
    this.line(table.toString().replace(/ +$/gm, ''));
  }

  /** Printed by every command that opens a pool. */
  place(pool: { path: string; medium: Medium; class: DurabilityClass; reason: string }): void {
    const survives =
      pool.class === 'power' ? 'survives power loss' : 'survives the death of the process only';
    const colour = pool.class === 'power' ? pc.green : pc.yellow;
    this.line(
      `${pc.bold(pool.path)}  medium ${pool.medium}, durability class ${colour(pool.class)} (${survives})`,
    );
    this.line(pc.dim(`  ${pool.reason}`));
  }

  progress(format: string, total: number): Progress {
    if (this.json || !process.stderr.isTTY) return { update: () => {}, stop: () => {} };
    const bar = new SingleBar({
      format,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
    });
    bar.start(total, 0);
    return { update: (value, fields) => bar.update(value, fields), stop: () => bar.stop() };
  }

  /** Returns the exit code. */
  error(error: unknown): number {
    const text = error instanceof Error ? error.message : String(error);
    const code = (error as { code?: unknown } | null)?.code;
    const name = typeof code === 'string' ? code : 'ERR_UNEXPECTED';
    // Errors of the system begin with their code already.
    const message = text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text;
    if (this.json) this.value({ error: { code: name, message } });
    else {
      const hint = hintFor(name);
      process.stderr.write(
        `${pc.red(name)}: ${message}\n${hint === undefined ? '' : `  ${hint}\n`}`,
      );
    }
    return name === 'ERR_HOLDFAST_INVALID_ARGUMENT' ? EXIT.usage : EXIT.failed;
  }
}

const QUIET_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

const ROWS_TOGETHER = 50;
const LEAST_COLUMN = 20;
/** Of what is cut, where it is very narrow. */
const LEAST_CUT = 8;
const BETWEEN = QUIET_BORDERS.middle.length;

/**
 * The columns' widths where a table does not fit into so many characters as it is, and the room on
 * both sides of a cell: none where it does not fit with any.
 */
function within(
  columns: number,
  rows: readonly (readonly string[])[],
  mayCut: readonly boolean[],
): { widths: number[] | undefined; side: number } {
  const widths = mayCut.map((_, at) => widest(rows, at, (text) => text.length));
  const room = columns - BETWEEN * (widths.length - 1);
  const roomy = shrunk(widths, room - 2 * widths.length, mayCut, LEAST_COLUMN);
  if (sumOf(roomy) <= room - 2 * widths.length)
    return { widths: sumOf(roomy) < sumOf(widths) ? roomy : undefined, side: 1 };
  return { widths: shrunk(widths, room, mayCut, LEAST_CUT), side: 0 };
}

/** Of columns in which nothing is cut. */
function naturalWidths(rows: readonly (readonly string[])[]): number[] {
  return rows[0]!.map((_, at) => widest(rows, at, widthOf));
}

function widest(
  rows: readonly (readonly string[])[],
  at: number,
  widthOf: (text: string) => number,
): number {
  return rows.reduce(
    (most, row) => Math.max(most, widthOf(stripVTControlCharacters(row[at] ?? ''))),
    0,
  );
}

function shrunk(
  given: readonly number[],
  room: number,
  mayCut: readonly boolean[],
  leastCut: number,
): number[] {
  const widths = [...given];
  let excess = sumOf(widths) - room;
  for (const cut of [true, false]) {
    const least = cut ? leastCut : LEAST_COLUMN;
    for (; excess > 0; --excess) {
      const widest = widths.reduce(
        (best, width, at) => (mayCut[at] === cut && width > (widths[best] ?? least) ? at : best),
        -1,
      );
      if (widest < 0) break;
      widths[widest]! -= 1;
    }
  }
  return widths;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function shortened(text: string, characters: number): string {
  return text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
}

function broken(text: string, characters: number): string {
  if (stripVTControlCharacters(text).length <= characters) return text;
  return text.match(new RegExp(`.{1,${characters}}`, 'gsu'))!.join('\n');
}

/** In lines of so many characters, where there is one between words if it can be. */
export function wrapped(text: string, characters: number): string[] {
  const room = Math.max(1, characters);
  if (widthOf(text) <= room) return [text];
  const lines: string[] = [];
  let line = '';
  let width = 0;
  for (const character of text) {
    const wide = widthOf(character);
    if (width + wide > room) {
      // A word that begins far to the left is broken.
      const end = character === ' ' ? line.length : line.lastIndexOf(' ') + 1;
      const cut = end > line.length / 2 ? end : line.length;
      lines.push(line.slice(0, cut).trimEnd());
      line = line.slice(cut);
      width = widthOf(line);
      if (character === ' ') continue;
    }
    line += character;
    width += wide;
  }
  return [...lines, line];
}

/** Characters that may be two wide are counted as that. */
export function widthOf(text: string): number {
  const plain = stripVTControlCharacters(text);
  return plain.length + (plain.match(/[\u1100-\ud7ff\ue000-\uffff]/g)?.length ?? 0);
}

/** One line, whatever a name or an error holds. */
function cellText(text: string, isTTY: boolean): string {
  const line = text.replace(/\r?\n/g, '\\n').replace(/\t/g, '\\t');
  return isTTY ? harmless(line) : line;
}

/** What is stored may hold anything, and a terminal obeys control characters. Colours stay. */
export function harmless(text: string): string {
  return text.replace(
    /\x1b(?!\[\d*m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/**
 * A replacer: JSON has no place for some of what a value may hold, a way back to what is around it
 * included.
 */
function printable(): (this: unknown, key: string, value: unknown) => unknown {
  // What is around the value at hand: what it is, and what is written for it.
  const around: { readonly of: unknown; readonly written: unknown }[] = [];
  return function (this: unknown, _key: string, value: unknown): unknown {
    if (typeof value === 'bigint') return value.toString();
    if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
    if (typeof value !== 'object' || value === null) return value;
    if (types.isRegExp(value)) return String(value);
    while (around.length > 0 && around.at(-1)!.written !== this) around.pop();
    if (around.some(({ of }) => of === value)) return '[circular]';
    const written = writtenAs(value);
    around.push({ of: value, written });
    return written;
  };
}

/** An object whose keys are others than texts is the list of its entries, so that none is lost. */
function writtenAs(value: object): object {
  if (value instanceof Map)
    return [...value.keys()].every((key) => typeof key === 'string')
      ? Object.fromEntries(value)
      : [...value];
  if (value instanceof Set) return [...value];
  if (types.isNativeError(value)) {
    const { name, message, cause, ...rest } = value;
    return { name, message, ...(cause !== undefined && { cause }), ...rest };
  }
  if (types.isAnyArrayBuffer(value)) return [...new Uint8Array(value)];
  if (value instanceof DataView)
    return [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)];
  if (ArrayBuffer.isView(value)) return [...(value as Uint8Array)];
  return value;
}

export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${units[unit]}`;
}

/** A moment, to the second, in this place's time. */
export function timeText(ms: number): string {
  const here = ms - new Date(ms).getTimezoneOffset() * 60_000;
  // the last day that a Date can name
  const local = new Date(Number.isNaN(new Date(here).getTime()) ? ms : here);
  return local.toISOString().slice(0, 19).replace('T', ' ');
}

export function msText(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} us`;
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
  const seconds = ms / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A value on one line, cut where it is long. */
export function brief(value: unknown, characters = 200): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : inspect(value, { depth: 4, breakLength: Infinity, compact: true, maxStringLength: 200 })
          // Of an error what it says, not where.
          .replace(
            /\n\s+(?:at [^\n]*?(?::\d+:\d+\)?|\(<anonymous>\))|\.{3} \d+ lines matching cause stack trace \.{3})/g,
            '',
          )
          .replace(/\s*\n\s*/g, ' ');
  return shortened(text, characters);
}

/** Bytes as text where they are text, else in hexadecimal. */
export function readable(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('utf8');
  const plain =
    !/[\u0000-\u0008\u000b-\u001f\u007f]/.test(text) && Buffer.from(text).equals(buffer);
  return plain ? text : `0x${buffer.toString('hex')}`;
}

/**
 * What the child processes read instead of the whole recording: the driver its part of each
 * conversation (what was said and which tools to call), the ledger what each tool answers. So a
 * restarted driver parses only what it goes on with, and the answers can reach it only through a
 * tool call, or through the pool.
 */
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { CalledTurn, Recording, SaidTurn } from './conversation';

/** How the processes of one replay find each other; written once, read by all. */
export interface ReplayConfig {
  readonly folder: string;
  readonly input: string;
  readonly hash: string;
  readonly pool: string;
  readonly medium: 'auto' | 'pmem' | 'file';
  readonly parallel: number;
  /**
   * How long the model thinks before it says something, in milliseconds; all there is of a model
   * here.
   */
  readonly thinkMs: number;
  readonly ledgerFile: string;
}

export type TapeTurn = SaidTurn | Omit<CalledTurn, 'answer'>;

export interface TapeConversation {
  readonly id: string;
  readonly messages: number;
  readonly turns: readonly TapeTurn[];
}

export interface WorldAnswer {
  readonly args: string;
  readonly answer: string | null;
}

export const socketOf = (config: ReplayConfig): string => join(config.folder, 'ledger.sock');
const tapeOf = (config: ReplayConfig): string => join(config.folder, 'tape');
const marksOf = (config: ReplayConfig): string => join(config.folder, 'tape-marks.json');
const worldOf = (config: ReplayConfig): string => join(config.folder, 'world.json');
const configOf = (folder: string): string => join(folder, 'config.json');

export function writeReplayFiles(config: ReplayConfig, recording: Recording): void {
  const marks: number[] = [0];
  const lines: Buffer[] = [];
  const world: WorldAnswer[][] = [];
  let end = 0;
  for (const { id, messages, turns } of recording.conversations) {
    const answers: WorldAnswer[] = [];
    const silent = turns.map((turn): TapeTurn => {
      if (turn.kind === 'said') return turn;
      const { answer, ...rest } = turn;
      answers.push({ args: turn.args, answer });
      return rest;
    });
    const line = Buffer.from(JSON.stringify({ id, messages, turns: silent }));
    lines.push(line);
    end += line.byteLength;
    marks.push(end);
    world.push(answers);
  }
  writeFileSync(tapeOf(config), Buffer.concat(lines));
  writeFileSync(marksOf(config), JSON.stringify(marks));
  writeFileSync(worldOf(config), JSON.stringify(world));
  writeFileSync(configOf(config.folder), JSON.stringify(config));
}

export function readConfig(folder: string): ReplayConfig {
  return JSON.parse(readFileSync(configOf(folder), 'utf8')) as ReplayConfig;
}

export function readWorld(config: ReplayConfig): WorldAnswer[][] {
  return JSON.parse(readFileSync(worldOf(config), 'utf8')) as WorldAnswer[][];
}

export class Tape {
  readonly #marks: number[];
  readonly #file: number;

  constructor(config: ReplayConfig) {
    this.#marks = JSON.parse(readFileSync(marksOf(config), 'utf8')) as number[];
    this.#file = openSync(tapeOf(config), 'r');
  }

  get conversations(): number {
    return this.#marks.length - 1;
  }

  read(index: number): TapeConversation {
    const begin = this.#marks[index] ?? 0;
    const bytes = Buffer.alloc((this.#marks[index + 1] ?? begin) - begin);
    readSync(this.#file, bytes, 0, bytes.byteLength, begin);
    return JSON.parse(bytes.toString('utf8')) as TapeConversation;
  }

  close(): void {
    closeSync(this.#file);
  }
}

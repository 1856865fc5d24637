// One guest: a qemu of ours, its serial console read line by line. Software emulation unless
// HOLDFAST_VM_ACCEL says otherwise. Only processes started here are ever signalled, by their id.
import { spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { once } from 'node:events';

const accelerator =
  process.env.HOLDFAST_VM_ACCEL === 'kvm'
    ? ['-accel', 'kvm', '-cpu', 'host']
    : ['-accel', 'tcg,thread=multi', '-cpu', 'max'];

// a guest that is starved by others, or only waits, may take so many times its time
const PATIENCE = 3;
const TICKS_A_SECOND = 100;

/** What a process has worked so far; 0 when it is gone. */
function processorSeconds(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return 0;
    throw error;
  }
}

const running = new Set();
export function killAll() {
  for (const machine of running) machine.cut();
}

export class Machine {
  #child;
  #ended;
  #rest = '';
  #waiting = new Set();
  lines = [];
  lastAck = 0;

  /**
   * `host`: of prepareHost(); `device`: of makePmem() or makeDisks(); `settings` become variables
   * in the guest; `seconds` of processor time it may take.
   */
  constructor(
    host,
    device,
    { script, archive = 'native', settings = {}, modules = [], log, seconds = 400 },
  ) {
    const all = {
      script,
      modules: host.modulesOf([...device.modules, ...modules]).join(','),
      device: device.device,
      second: device.second ?? '',
      fs: device.fs,
      options: device.options,
      ...settings,
    };
    const words = Object.entries(all)
      .map(([name, value]) => `hf.${name}=${value}`)
      .join(' ');
    const args = [
      ...device.machine,
      ...accelerator,
      '-smp',
      '1',
      '-display',
      'none',
      '-serial',
      'stdio',
      '-monitor',
      'none',
      '-no-reboot',
      '-nic',
      'none',
      '-nodefaults',
      '-no-user-config',
      '-kernel',
      host.kernel,
      '-initrd',
      host.archives[archive],
      // A slow host must not make the kernel believe that there is no timer.
      '-append',
      `console=ttyS0 panic=-1 quiet no_timer_check ${device.append} ${words}`,
    ];
    this.log = log;
    const file = createWriteStream(log, { flags: 'a' });
    file.write(`--- ${script} ${words}\n`);
    this.#child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this);
    this.#child.stderr.on('data', (data) => file.write(data));
    this.#child.stdout.setEncoding('latin1').on('data', (text) => {
      file.write(text);
      this.#hear(text);
    });
    const begun = performance.now();
    const limit = setInterval(() => {
      const passed = (performance.now() - begun) / 1000;
      if (passed < PATIENCE * seconds && processorSeconds(this.#child.pid) < seconds) return;
      file.write(`\n--- cut: not done in ${Math.round(passed)} s\n`);
      this.timedOut = true;
      this.cut();
    }, 1000);
    this.#ended = Promise.race([once(this.#child, 'close'), once(this.#child, 'error')]).finally(
      () => {
        clearInterval(limit);
        running.delete(this);
        for (const check of this.#waiting) check();
        file.end();
      },
    );
  }

  #hear(text) {
    const parts = (this.#rest + text).split('\n');
    this.#rest = parts.pop();
    for (const part of parts) {
      const line = part.replace(/\r$/, '');
      // Tens of thousands of acknowledgements: only the last one is kept.
      if (line.startsWith('ACK ')) this.lastAck = Math.max(this.lastAck, Number(line.slice(4)));
      else this.lines.push(line);
    }
    for (const check of this.#waiting) check();
  }

  get #over() {
    return !running.has(this);
  }

  find(start) {
    return this.lines.find((line) => line.startsWith(start));
  }

  #until(test, what) {
    return new Promise((resolve, reject) => {
      const check = () => {
        const found = test();
        const wrong = this.find('BAD ') ?? this.find('GUEST failed');
        if (!found && !wrong && !this.#over) return;
        this.#waiting.delete(check);
        if (found) resolve(found);
        else
          reject(
            new Error(
              wrong ??
                `the guest ended${this.timedOut ? ' (its time was over)' : ''} before ${what}`,
            ),
          );
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** The first line that begins so. Fails when the guest says BAD, or ends without it. */
  said(start) {
    return this.#until(() => this.find(start), `it said "${start}"`);
  }

  acknowledged(atLeast) {
    return this.#until(() => this.lastAck >= atLeast, `step ${atLeast} was acknowledged`);
  }

  /** The power fails: no signal reaches the guest. */
  cut() {
    if (!this.#over) this.#child.kill('SIGKILL');
  }

  async cutAndWait() {
    this.cut();
    await this.#ended;
  }

  freeze() {
    this.#child.kill('SIGSTOP');
  }

  thaw() {
    this.#child.kill('SIGCONT');
  }

  /** Waits until the guest has switched itself off; fails if its script did. */
  async done() {
    await this.#ended;
    const exit = this.find('GUEST exit');
    const wrong = this.find('BAD ') ?? this.find('GUEST failed');
    if (wrong) throw new Error(wrong);
    if (exit !== 'GUEST exit 0')
      throw new Error(exit ?? `the guest ended ${this.timedOut ? 'late' : 'early'}`);
  }
}

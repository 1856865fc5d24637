/** `holdfast doctor`: what a place offers, and how to get more. */
import type { Command } from 'commander';

import { probe } from '../../index';
import { Output } from '../output';

const EMULATED = `Persistent memory without the hardware, for development:
  any machine   a tmpfs with PMEM_IS_PMEM_FORCE=1 in the environment; class process, never power:
                  PMEM_IS_PMEM_FORCE=1 holdfast demo --medium pmem --folder /dev/shm
  Linux         reserve RAM on the kernel command line, memmap=4G!12G; then mkfs.ext4 /dev/pmem0 and
                mount -o dax=always /dev/pmem0 /mnt/pmem. The kernel treats it as persistent; RAM is not
  qemu          -machine q35,nvdimm=on -m 4G,slots=2,maxmem=8G
                -object memory-backend-file,id=m1,share=on,mem-path=nvdimm.img,size=4G -device nvdimm,id=n1,memdev=m1`;

const yes = (value: boolean): string => (value ? 'yes' : 'no');

export function addDoctor(program: Command): void {
  program
    .command('doctor [place]')
    .description(
      'show what a place (a folder, a pool, a device) offers: medium, DAX, durability class',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast doctor\n  $ holdfast doctor /mnt/pmem\n  $ holdfast doctor /dev/dax0.0',
    )
    .action(async (place: string | undefined, options: { json?: boolean }) => {
      const output = new Output(options.json ?? false);
      const path = place ?? '.';
      const report = await probe(path);
      output.value({ place: path, ...report });
      output.pairs([
        ['place', path],
        ['file system', report.fileSystem],
        ['a pool is there', report.exists ? `yes, medium ${report.poolMedium}` : 'no'],
        ['writable', yes(report.writable)],
        ['mapping with MAP_SYNC', report.mapSync ? 'succeeds' : 'refused'],
        ['DAX attribute', yes(report.dax)],
        ['device DAX', yes(report.deviceDax)],
        ['PMEM_IS_PMEM_FORCE', report.pmemForced ? 'set' : 'not set'],
        [
          'built with libpmemobj',
          report.builtWithPmem
            ? `yes, version ${report.libpmemobjVersion}`
            : 'no (apt install libpmemobj-dev, then npm rebuild holdfast)',
        ],
        ['medium `auto` takes', report.choice],
        ['durability class', report.durability],
      ]);
      output.line(`\n${report.reason}`);
      if (report.choice !== 'pmem') output.line(`\n${EMULATED}`);
    });
}

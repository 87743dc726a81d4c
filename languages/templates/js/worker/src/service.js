// Runs beside the services that answer, for as long as the application does.

import { subscribeDuration } from 'wasi:clocks/monotonic-clock@0.2.10';

import { line } from './line.js';

const PAUSE_NS = 1_000_000_000n;

export const run = {
  run() {
    for (let beat = 1; ; beat += 1) {
      console.log(line(beat)); // goes to Skep's log
      subscribeDuration(PAUSE_NS).block();
    }
  },
};

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { line } from '../src/line.js';

test('a line says which beat it is', () => {
  assert.equal(line(7), 'beat 7');
});

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nameIn } from '../src/path.js';

test('the last segment is the name', () => {
  assert.equal(nameIn('/people/Ada'), 'Ada');
  assert.equal(nameIn('/'), '');
});

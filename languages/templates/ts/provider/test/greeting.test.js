import assert from 'node:assert/strict';
import { test } from 'node:test';

import { greeting } from '../build/greeting.js';

test('whoever has a name is greeted', () => {
  assert.equal(greeting('Ada'), 'Hello, Ada!');
});

test('nobody is not', () => {
  assert.equal(greeting(''), null);
});

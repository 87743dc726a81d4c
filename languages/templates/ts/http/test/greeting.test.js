import assert from 'node:assert/strict';
import { test } from 'node:test';

import { greeting } from '../build/greeting.js';

test('the last segment is greeted', () => {
  assert.equal(greeting('/Ada'), 'Hello, Ada!');
  assert.equal(greeting('/people/Ada'), 'Hello, Ada!');
});

test('without a name the world is', () => {
  assert.equal(greeting('/'), 'Hello, world!');
});

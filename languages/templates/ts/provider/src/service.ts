// Greets people for other services.

import type { Problem } from 'example:greetings/greetings@1.0.0';

import { greeting } from './greeting.js';

export const greetings = {
  greet(name: string): string {
    const words = greeting(name);
    if (words === null) {
      // What is thrown is the error of the interface.
      const problem: Problem = { tag: 'no-name' };
      throw problem;
    }
    return words;
  },
};

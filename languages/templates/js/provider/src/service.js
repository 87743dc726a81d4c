// Greets people for other services.

import { greeting } from './greeting.js';

export const greetings = {
  greet(name) {
    const words = greeting(name);
    // What is thrown is the error of the interface.
    if (words === null) throw { tag: 'no-name' };
    return words;
  },
};

// Answers HTTP requests with what another service says.

import { greet } from 'example:greetings/greetings@1.0.0';

import { nameIn } from './path.js';

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const name = nameIn(new URL(request.url).pathname);
  try {
    // A call to another service: Skep finds the one that exports the interface.
    return text(200, greet(name));
  } catch (error) {
    const problem = error.payload;
    switch (problem?.tag) {
      case 'no-name':
        return text(400, 'Hello whom?');
      case 'unavailable':
        console.error(problem.val); // goes to Skep's log
        return text(503, 'Nobody greets at the moment.');
      default:
        throw error;
    }
  }
}

function text(status, body) {
  return new Response(`${body}\n`, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}

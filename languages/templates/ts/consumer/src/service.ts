// Answers HTTP requests with what another service says.

import { greet, type Problem } from 'example:greetings/greetings@1.0.0';

import { nameIn } from './path.js';

addEventListener('fetch', (event) => {
  const asked = event as FetchEvent;
  asked.respondWith(answer(asked.request));
});

async function answer(request: Request): Promise<Response> {
  const name = nameIn(new URL(request.url).pathname);
  try {
    // A call to another service: Skep finds the one that exports the interface.
    return text(200, greet(name));
  } catch (error) {
    const problem = (error as { payload?: Problem }).payload;
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

function text(status: number, body: string): Response {
  return new Response(`${body}\n`, {
    status,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}

// Answers HTTP requests with a greeting.

import { greeting } from './greeting.js';

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname } = new URL(request.url);
  console.log(`asked for ${pathname}`); // goes to Skep's log
  return new Response(`${greeting(decodeURIComponent(pathname))}\n`, {
    headers: { 'content-type': 'text/plain; charset=utf-8' },
  });
}

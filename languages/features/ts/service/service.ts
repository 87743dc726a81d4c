// Answers requests as the world says: each path shows one thing that a service can do.

import { find, letters, Shelf, thickest } from 'features:library/books@1.0.0';
import type { Book, Problem } from 'features:library/books@1.0.0';
import { get } from 'wasi:config/store@0.2.0-rc.1';

addEventListener('fetch', (event) => {
  const asked = event as FetchEvent;
  asked.respondWith(answer(asked.request));
});

async function answer(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  switch (pathname.split('/')[1]) {
    case 'hello':
      return new Response('hello\n');
    case 'library':
      return new Response(library());
    case 'shelf':
      return new Response(shelf('summer', ['978-1', '978-2']) + shelf('winter', []));
    case 'echo':
      return new Response(request.body);
    case 'fetch':
      return new Response((await fetch(search.slice(1))).body);
    case 'config':
      return configured(pathname.slice('/config/'.length));
    default:
      return new Response('there is no such page\n', { status: 404 });
  }
}

function library(): string {
  const found: Book[] = [];
  let text = '';
  for (const isbn of ['978-1', '978-2', '978-9', '978-0']) {
    try {
      const book = find(isbn);
      found.push(book);
      const { title, pages, binding, tags, price } = book;
      text += `${title} ${pages} ${binding} ${tags.join(',') || '-'} ${price ?? '-'}\n`;
    } catch (error) {
      const problem = (error as { payload: Problem }).payload;
      text += problem.tag === 'sold-out' ? 'sold out\n' : `${problem.tag} ${problem.val}\n`;
    }
  }
  return `${text}${letters(found)}\n`;
}

function shelf(name: string, isbns: string[]): string {
  const made = new Shelf(name);
  const counts = isbns.map((isbn) => made.put(find(isbn)));
  return `${[made.name(), ...counts, thickest(made) ?? 'none'].join(' ')}\n`;
}

function configured(key: string): Response {
  const value = get(key);
  return value === undefined
    ? new Response('there is no such value\n', { status: 404 })
    : new Response(`${value}\n`);
}

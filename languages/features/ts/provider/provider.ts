// Exports the books, with a resource.

import type { Book, Problem } from 'features:library/books@1.0.0';

const BOOKS = new Map<string, Book>([
  ['978-1', { title: 'Bees', pages: 240, binding: 'cloth', tags: ['nature', 'honey'], price: 12.5 }],
  ['978-2', { title: 'Combs', pages: 90, binding: 'paper', tags: [] }],
]);
const LETTERS = 5_000_000_000n;

class Shelf {
  readonly #name: string;
  readonly #books: Book[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  name(): string {
    return this.#name;
  }

  put(book: Book): number {
    return this.#books.push(book);
  }

  static thickest(shelf: Shelf): string | undefined {
    return [...shelf.#books].sort((a, b) => b.pages - a.pages)[0]?.title;
  }
}

// What is thrown is the error of the interface.
function refuse(problem: Problem): never {
  throw problem;
}

export const books = {
  find(isbn: string): Book {
    if (isbn === '978-9') refuse({ tag: 'sold-out' });
    return BOOKS.get(isbn) ?? refuse({ tag: 'unknown', val: isbn });
  },
  letters: (all: Book[]): bigint => all.reduce((sum, { pages }) => sum + BigInt(pages) * LETTERS, 0n),
  thickest: Shelf.thickest,
  Shelf,
};

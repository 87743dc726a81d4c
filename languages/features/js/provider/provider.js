// Exports the books, with a resource.

const BOOKS = {
  '978-1': { title: 'Bees', pages: 240, binding: 'cloth', tags: ['nature', 'honey'], price: 12.5 },
  '978-2': { title: 'Combs', pages: 90, binding: 'paper', tags: [] },
};
const LETTERS = 5_000_000_000n;

class Shelf {
  #name;
  #books = [];

  constructor(name) {
    this.#name = name;
  }

  name() {
    return this.#name;
  }

  put(book) {
    return this.#books.push(book);
  }

  static thickest(shelf) {
    return shelf.#books.toSorted((a, b) => b.pages - a.pages)[0]?.title;
  }
}

export const books = {
  find(isbn) {
    // What is thrown is the error of the interface.
    if (isbn === '978-9') throw { tag: 'sold-out' };
    if (!(isbn in BOOKS)) throw { tag: 'unknown', val: isbn };
    return BOOKS[isbn];
  },
  letters: (all) => all.reduce((sum, { pages }) => sum + BigInt(pages) * LETTERS, 0n),
  thickest: Shelf.thickest,
  Shelf,
};

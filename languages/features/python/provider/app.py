"""Exports the books; their resource is in the module of the interface's name."""

import books
from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.books import Binding, Book, Problem_SoldOut, Problem_Unknown

BOOKS = {
    "978-1": Book("Bees", 240, Binding.CLOTH, ["nature", "honey"], 12.5),
    "978-2": Book("Combs", 90, Binding.PAPER, [], None),
}


class Books(exports.Books):
    def find(self, isbn: str) -> Book:
        if isbn == "978-9":
            raise Err(Problem_SoldOut())
        if isbn not in BOOKS:
            raise Err(Problem_Unknown(isbn))
        return BOOKS[isbn]

    def letters(self, books: list[Book]) -> int:
        return sum(book.pages for book in books) * 5_000_000_000

    def thickest(self, shelf: "books.Shelf") -> str | None:
        thickest = max(shelf.books, key=lambda book: book.pages, default=None)
        return thickest.title if thickest else None

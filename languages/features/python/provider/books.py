"""The resource of the interface `books`."""

from wit_world.exports import books


class Shelf(books.Shelf):
    def __init__(self, name: str) -> None:
        self.of_name = name
        self.books: list[books.Book] = []

    def name(self) -> str:
        return self.of_name

    def put(self, book: books.Book) -> int:
        self.books.append(book)
        return len(self.books)

//! Exports the books of languages/features, with a resource.
use std::cell::RefCell;

wit_bindgen::generate!({
    inline: "package features:demo; world provider { export features:library/books@1.0.0; }",
    path: "../../languages/features/wit/library.wit",
    world: "features:demo/provider",
    generate_all,
});

use exports::features::library::books::{Binding, Book, Guest, GuestShelf, Problem, ShelfBorrow};

struct Provider;
export!(Provider);

impl Guest for Provider {
    type Shelf = OnShelf;

    fn find(isbn: String) -> Result<Book, Problem> {
        match isbn.as_str() {
            "978-1" => Ok(Book {
                title: "Bees".to_owned(),
                pages: 240,
                binding: Binding::Cloth,
                tags: vec!["nature".to_owned(), "honey".to_owned()],
                price: Some(12.5),
            }),
            "978-2" => Ok(Book {
                title: "Combs".to_owned(),
                pages: 90,
                binding: Binding::Paper,
                tags: Vec::new(),
                price: None,
            }),
            "978-9" => Err(Problem::SoldOut),
            _ => Err(Problem::Unknown(isbn)),
        }
    }

    fn letters(books: Vec<Book>) -> u64 {
        books
            .iter()
            .map(|book| u64::from(book.pages) * 5_000_000_000)
            .sum()
    }

    fn thickest(shelf: ShelfBorrow<'_>) -> Option<String> {
        let books = shelf.get::<OnShelf>().books.borrow();
        let thickest = books.iter().max_by_key(|book| book.pages);
        thickest.map(|book| book.title.clone())
    }
}

struct OnShelf {
    name: String,
    books: RefCell<Vec<Book>>,
}

impl GuestShelf for OnShelf {
    fn new(name: String) -> Self {
        Self {
            name,
            books: RefCell::default(),
        }
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn put(&self, book: Book) -> u32 {
        let mut books = self.books.borrow_mut();
        books.push(book);
        u32::try_from(books.len()).unwrap_or(u32::MAX)
    }
}

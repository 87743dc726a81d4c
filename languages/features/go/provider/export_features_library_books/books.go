// Package export_features_library_books exports the books. The generated code goes by the package's
// name.
package export_features_library_books

import (
	"runtime"

	"wit_component/features_library_books"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Book is the interface's.
type Book = features_library_books.Book

var books = map[string]Book{
	"978-1": {
		Title:   "Bees",
		Pages:   240,
		Binding: features_library_books.Binding_Cloth,
		Tags:    []string{"nature", "honey"},
		Price:   wit.Some(12.5),
	},
	"978-2": {
		Title:   "Combs",
		Pages:   90,
		Binding: features_library_books.Binding_Paper,
		Price:   wit.None[float64](),
	},
}

// Find is called by other services.
func Find(isbn string) wit.Result[Book, features_library_books.Problem] {
	if isbn == "978-9" {
		return wit.Err[Book](features_library_books.MakeProblemSoldOut())
	}
	book, known := books[isbn]
	if !known {
		return wit.Err[Book](features_library_books.MakeProblemUnknown(isbn))
	}
	return wit.Ok[Book, features_library_books.Problem](book)
}

// Letters is called by other services.
func Letters(books []Book) uint64 {
	var letters uint64
	for _, book := range books {
		letters += uint64(book.Pages) * 5_000_000_000
	}
	return letters
}

// Shelf is the interface's resource; the generated code wants the first two fields.
type Shelf struct {
	pinner runtime.Pinner
	handle int32
	name   string
	books  []Book
}

// MakeShelf is the resource's constructor.
func MakeShelf(name string) *Shelf {
	return &Shelf{name: string([]byte(name))}
}

// Name is a method of the interface.
func (shelf *Shelf) Name() string {
	return shelf.name
}

// Put keeps copies: what a call brings is the call's.
func (shelf *Shelf) Put(book Book) uint32 {
	book.Title = string([]byte(book.Title))
	book.Tags = nil
	shelf.books = append(shelf.books, book)
	return uint32(len(shelf.books))
}

// OnDrop is called when the last handle goes.
func (shelf *Shelf) OnDrop() {}

// Thickest is called by other services.
func Thickest(shelf *Shelf) wit.Option[string] {
	var thickest *Book
	for at := range shelf.books {
		if thickest == nil || shelf.books[at].Pages > thickest.Pages {
			thickest = &shelf.books[at]
		}
	}
	if thickest == nil {
		return wit.None[string]()
	}
	return wit.Some(thickest.Title)
}

//! Answers requests as the world `service` of languages/features says: each path shows one thing
//! that a service can do.
use std::fmt::Write as _;

use answer::{Sending, text};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingRequest, ResponseOutparam, Scheme,
};

mod bindings {
    wit_bindgen::generate!({
        inline: "package features:demo;
            world service {
                import wasi:config/store@0.2.0-rc.1;
                import features:library/books@1.0.0;
            }",
        path: [
            "../../languages/features/wit/library.wit",
            "../../languages/wit/wasi/config.wit",
        ],
        world: "features:demo/service",
        generate_all,
    });
}
use bindings::features::library::books::{self, Binding, Problem, Shelf};
use bindings::wasi::config::store;

struct Service;
wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match path {
            "/hello" => text(out, 200, "hello\n"),
            "/library" => text(out, 200, &library()),
            "/shelf" => {
                let said = shelf("summer", &["978-1", "978-2"]) + &shelf("winter", &[]);
                text(out, 200, &said);
            }
            "/echo" => pass_on(request.consume().unwrap(), out),
            "/fetch" => fetch(query, out),
            _ => match path.strip_prefix("/config/").map(store::get) {
                Some(Ok(Some(value))) => text(out, 200, &format!("{value}\n")),
                Some(_) => text(out, 404, "there is no such value\n"),
                None => text(out, 404, "there is no such page\n"),
            },
        }
    }
}

fn library() -> String {
    let (mut said, mut found) = (String::new(), Vec::new());
    for isbn in ["978-1", "978-2", "978-9", "978-0"] {
        let line = match books::find(isbn) {
            Ok(book) => {
                let binding = match book.binding {
                    Binding::Paper => "paper",
                    Binding::Cloth => "cloth",
                };
                let tags = match book.tags.join(",") {
                    none if none.is_empty() => "-".to_owned(),
                    tags => tags,
                };
                let price = book.price.map_or("-".to_owned(), |price| price.to_string());
                let line = format!("{} {} {binding} {tags} {price}", book.title, book.pages);
                found.push(book);
                line
            }
            Err(Problem::SoldOut) => "sold out".to_owned(),
            Err(Problem::Unknown(isbn)) => format!("unknown {isbn}"),
            Err(Problem::Unavailable(why)) => format!("unavailable {why}"),
        };
        let _ = writeln!(said, "{line}");
    }
    let _ = writeln!(said, "{}", books::letters(&found));
    said
}

fn shelf(name: &str, isbns: &[&str]) -> String {
    let made = Shelf::new(name);
    let mut said = made.name();
    for isbn in isbns {
        let book = books::find(isbn).unwrap();
        let _ = write!(said, " {}", made.put(&book));
    }
    let thickest = books::thickest(&made);
    let _ = writeln!(said, " {}", thickest.as_deref().unwrap_or("none"));
    said
}

fn fetch(url: &str, out: ResponseOutparam) {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    let pending = outgoing_handler::handle(request, None).unwrap();
    pending.subscribe().block();
    let response = pending.get().unwrap().unwrap().unwrap();
    pass_on(response.consume().unwrap(), out);
}

/// Each piece as it comes.
fn pass_on(body: IncomingBody, out: ResponseOutparam) {
    let mut sending = Sending::start(out, 200, &[]);
    let stream = body.stream().unwrap();
    // It ends with an error: the stream is closed.
    while let Ok(piece) = stream.blocking_read(4096) {
        if !sending.write(&piece) {
            break;
        }
    }
    let _ = sending.finish(None);
}

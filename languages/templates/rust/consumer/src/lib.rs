//! Answers HTTP requests with what another service says.

mod path;

use std::io::Write;

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({ path: "wit", world: "service", generate_all });

use example::greetings::greetings::{self, Problem};

struct Service;
wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        // A call to another service: Skep finds the one that exports the interface.
        match greetings::greet(path::name(&path)) {
            Ok(greeting) => answer(out, 200, &greeting),
            Err(Problem::NoName) => answer(out, 400, "Hello whom?"),
            Err(Problem::Unavailable(why)) => {
                eprintln!("{why}"); // goes to Skep's log
                answer(out, 503, "Nobody greets at the moment.");
            }
        }
    }
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::new();
    let _ = headers.set("content-type", &[b"text/plain; charset=utf-8".to_vec()]);
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("it is a status");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the stream is taken once");
    // An error means that the client has gone.
    let _ = writeln!(stream, "{text}");
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

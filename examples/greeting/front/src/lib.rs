use std::io::Write;

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wit_bindgen::generate!({
    path: "../wit",
    world: "front",
});

use example::greetings::greetings::{self, Problem};

struct Front;
wasip2::http::proxy::export!(Front);

impl wasip2::exports::http::incoming_handler::Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (status, text) = match path.splitn(3, '/').collect::<Vec<_>>()[..] {
            ["", "hello", name] => hello(name),
            ["", "letters", name] => (200, greetings::letters(name).to_string()),
            _ => (404, "Nobody lives here.".to_string()),
        };
        answer(out, status, &text);
    }
}

fn hello(name: &str) -> (u16, String) {
    match greetings::greet(name) {
        Ok(greeting) => (200, greeting),
        Err(Problem::NoName) => (400, "Hello whom?".to_string()),
        Err(Problem::Unavailable(why)) => {
            eprintln!("{why}"); // goes to Skep's log
            (503, "Nobody greets at the moment.".to_string())
        }
    }
}

fn answer(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("it is a status");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the stream is taken once");
    // An error means that the client has gone.
    let _ = writeln!(stream, "{text}");
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

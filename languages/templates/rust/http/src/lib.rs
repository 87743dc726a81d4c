//! Answers HTTP requests with a greeting.

mod greeting;

use std::io::Write;

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Service;
wasip2::http::proxy::export!(Service);

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        println!("asked for {path}"); // goes to Skep's log
        answer(out, 200, &greeting::greeting(&path));
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

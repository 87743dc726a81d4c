//! Requests to servers that never asked for them, to itself above all. Without grants.http in the
//! manifest each of them is refused.
use answer::{Target, text};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, OutgoingBody, OutgoingRequest, RequestOptions,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

/// A request to `authority`, and its body to be written.
fn send(
    authority: &str,
    path: &str,
    options: Option<RequestOptions>,
) -> Result<(FutureIncomingResponse, OutgoingBody), String> {
    let request = OutgoingRequest::new(Fields::new());
    let set = [
        request.set_scheme(Some(&Scheme::Http)),
        request.set_authority(Some(authority)),
        request.set_path_with_query(Some(path)),
    ];
    if set.iter().any(Result::is_err) {
        return Err("the host refuses the target".to_string());
    }
    let body = request.body().map_err(|()| "the body was taken twice")?;
    let pending = outgoing_handler::handle(request, options).map_err(|e| format!("{e:?}"))?;
    Ok((pending, body))
}

fn status(pending: &FutureIncomingResponse) -> String {
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(response))) => response.status().to_string(),
        Some(Ok(Err(error))) => format!("{error:?}"),
        _ => "nothing".to_string(),
    }
}

fn get(authority: &str, path: &str, options: Option<RequestOptions>) -> String {
    match send(authority, path, options) {
        Ok((pending, body)) => {
            let _ = OutgoingBody::finish(body, None);
            status(&pending)
        }
        Err(error) => error,
    }
}

/// One request to `to`, and what came of it.
pub(crate) fn ask(target: &Target) -> String {
    format!("{}\n", get(target.value("to"), target.value("path"), None))
}

/// Answers with what its own path answers, so that each request leads to another.
pub(crate) fn ask_self(target: &Target, out: ResponseOutparam) {
    let to = target.value("to");
    let answer = get(to, &format!("/ask-self?to={to}"), None);
    // Only the innermost has something of its own to say; the others pass on how it went.
    let status = answer.parse().unwrap_or(508);
    text(out, status, &format!("{answer}\n"));
}

/// `n` requests at once, whose responses nobody waits for in turn.
pub(crate) fn ask_many(target: &Target) -> String {
    let n: u64 = target.value("n").parse().unwrap_or(1);
    let (mut sent, mut refused) = (Vec::new(), 0);
    for _ in 0..n {
        match send(target.value("to"), "/", None) {
            Ok(pending) => sent.push(pending),
            Err(_) => refused += 1,
        }
    }
    let mut outcomes: Vec<String> = sent.iter().map(|(pending, _)| status(pending)).collect();
    outcomes.sort();
    outcomes.dedup();
    format!("{} sent, {refused} refused: {outcomes:?}\n", sent.len())
}

/// `n` requests to as many places that are not granted.
pub(crate) fn ask_denied(n: u64) -> String {
    let mut last = String::new();
    for host in 0..n {
        last = get(&format!("host-{host}.example"), "/", None);
    }
    format!("{last}\n")
}

/// A request body that never ends.
pub(crate) fn upload_for_ever(target: &Target) -> String {
    let (pending, body) = match send(target.value("to"), "/", None) {
        Ok(sent) => sent,
        Err(error) => return format!("{error}\n"),
    };
    let stream = body.write().expect("the stream is taken once");
    loop {
        match stream.blocking_write_and_flush(&[b'u'; 4096]) {
            Ok(()) => {}
            Err(StreamError::Closed) => return format!("closed: {}\n", status(&pending)),
            Err(error) => return format!("{error:?}\n"),
        }
    }
}

/// Time-outs of nothing, and of more than a clock can say.
pub(crate) fn impatient(target: &Target) -> String {
    let one = |duration: u64| {
        let options = RequestOptions::new();
        let _ = options.set_connect_timeout(Some(duration));
        let _ = options.set_first_byte_timeout(Some(duration));
        let _ = options.set_between_bytes_timeout(Some(duration));
        get(target.value("to"), "/", Some(options))
    };
    format!("0: {}\n1: {}\nmost: {}\n", one(0), one(1), one(u64::MAX))
}

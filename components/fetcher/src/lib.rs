//! Makes outgoing requests: `/fetch?url=URL` and, as wanted, `method=`, `body=`, `header=N:V`
//! (repeated), `connect-ms=`, `first-byte-ms=`, `between-bytes-ms=`. Answers `status: N`, the
//! header fields, an empty line and the body; or 502 with the error code as WASI names it.
//! `/many?url=URL&n=N` makes N requests at once and answers one line each; `/proxy?url=URL`
//! passes the body on as it comes; `/abandon?url=URL` drops the response unread.
mod outgoing;

use answer::{Sending, Target, text};
use outgoing::{Fetched, Outgoing};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Fetcher;
wasip2::http::proxy::export!(Fetcher);

impl wasip2::exports::http::incoming_handler::Guest for Fetcher {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        match target.segment(0) {
            "fetch" => fetch(&target, out),
            "many" => many(&target, out),
            "proxy" => proxy(&target, out),
            "abandon" => match Outgoing::of(&target)
                .send()
                .and_then(outgoing::Pending::wait)
            {
                Ok(_) => text(out, 200, "abandoned\n"),
                Err(error) => text(out, 502, &format!("error: {error}\n")),
            },
            _ => text(out, 200, "fetcher\n"),
        }
    }
}

fn fetch(target: &Target, out: ResponseOutparam) {
    let fetched = Outgoing::of(target)
        .send()
        .and_then(outgoing::Pending::wait);
    match fetched.and_then(Fetched::whole) {
        Ok((status, headers, body)) => {
            let mut answer = format!("status: {status}\n");
            for (name, value) in headers {
                answer.push_str(&format!(
                    "header {name}: {}\n",
                    String::from_utf8_lossy(&value)
                ));
            }
            answer.push('\n');
            answer.push_str(&String::from_utf8_lossy(&body));
            text(out, 200, &answer);
        }
        Err(error) => text(out, 502, &format!("error: {error}\n")),
    }
}

fn many(target: &Target, out: ResponseOutparam) {
    let n = target.value("n").parse().unwrap_or(1);
    let pending: Vec<_> = (0..n).map(|_| Outgoing::of(target).send()).collect();
    let lines = pending.into_iter().map(|sent| {
        match sent
            .and_then(outgoing::Pending::wait)
            .and_then(Fetched::whole)
        {
            Ok((status, _, body)) => format!("status: {status}, {} bytes\n", body.len()),
            Err(error) => format!("error: {error}\n"),
        }
    });
    let lines: String = lines.collect();
    text(out, 200, &lines);
}

fn proxy(target: &Target, out: ResponseOutparam) {
    match Outgoing::of(target)
        .send()
        .and_then(outgoing::Pending::wait)
    {
        Ok(fetched) => {
            let mut sending = Sending::start(out, fetched.status(), &[]);
            let whole = fetched.each_chunk(|chunk| sending.write(chunk));
            match whole {
                Ok(()) => drop(sending.finish(None)),
                Err(error) => eprintln!("proxy: {error}"),
            }
        }
        Err(error) => text(out, 502, &format!("error: {error}\n")),
    }
}

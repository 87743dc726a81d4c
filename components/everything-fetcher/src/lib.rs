//! Whatever it is called for, it asks a server for `/`, the one that the variable `PEER` names, and
//! answers with the status.
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

wit_bindgen::generate!({
    path: "../everything-provider/wit",
    world: "fetching",
});

use exports::fixture::everything::harm::{Guest, MuteTrouble, Outcome, Trouble, Unfit};

struct Fetcher;
export!(Fetcher);

fn fetch() -> u32 {
    let peer = std::env::var("PEER").expect("the variable PEER");
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).expect("a scheme");
    request.set_authority(Some(&peer)).expect("an authority");
    request.set_path_with_query(Some("/")).expect("a path");
    let pending = outgoing_handler::handle(request, None).expect("a request");
    pending.subscribe().block();
    let response = pending.get().expect("an answer").expect("taken once");
    u32::from(response.expect("a response").status())
}

impl Guest for Fetcher {
    fn count() -> u32 {
        fetch()
    }
    fn plain(_: String) -> u32 {
        fetch()
    }
    fn stringly(_: String) -> Result<u32, String> {
        Ok(fetch())
    }
    fn variantly(_: String) -> Result<u32, Trouble> {
        Ok(fetch())
    }
    fn mutely(_: String) -> Result<u32, MuteTrouble> {
        Ok(fetch())
    }
    fn enumly(_: String) -> Result<u32, Outcome> {
        Ok(fetch())
    }
    fn unfitly(_: String) -> Result<u32, Unfit> {
        Ok(fetch())
    }
}

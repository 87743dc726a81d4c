use super::*;

fn work() -> Work {
    Work::Call {
        caller: "front".into(),
        interface: "a:b/c@1.0.0".into(),
        function: "get".into(),
    }
}

fn request(tracer: &Tracer, log_calls: bool) -> Begun {
    tracer.request(&mut HeaderMap::new(), log_calls).unwrap()
}

fn of_request(begun: &Begun) -> Span {
    Span {
        context: begun.trace.here(),
        parent: begun.parent,
        began: SystemTime::now(),
        duration: Duration::ZERO,
        service: Some("front".into()),
        revision: 1,
        work: Work::Request {
            method: http::Method::GET,
            path: "/".into(),
            status: Some(200),
        },
        outcome: "ok",
        queued: Duration::ZERO,
        cpu: Duration::ZERO,
        bytes: None,
    }
}

#[test]
fn a_request_that_nobody_wants_to_know_of_has_no_trace() {
    let tracer = Tracer::default();
    let mut headers = HeaderMap::new();
    assert!(tracer.request(&mut headers, false).is_none());
    assert!(headers.is_empty());
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    headers.insert(TRACEPARENT, HeaderValue::from_static(parent));
    let passed = tracer.request(&mut headers, false).unwrap().trace;
    assert_eq!(headers[TRACEPARENT], parent);
    assert!(!passed.is_recorded());
    assert!(passed.call(&"back".into(), work).is_none());
    let mut outgoing = HeaderMap::new();
    passed.write(&mut outgoing);
    assert_eq!(outgoing[TRACEPARENT], parent);
    // A guest that says so itself knows better.
    let own = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
    outgoing.insert(TRACEPARENT, HeaderValue::from_static(own));
    passed.write(&mut outgoing);
    assert_eq!(outgoing[TRACEPARENT], own);
}

#[test]
fn a_listener_hears_of_each_span_when_it_is_over() {
    let tracer = Tracer::default();
    assert!(!tracer.is_heard());
    let mut heard = tracer.listen(8);
    let begun = request(&tracer, false);
    assert!(begun.trace.calls().is_none(), "the log wants none");
    let (outer, inner_trace) = begun.trace.call(&"back".into(), work).unwrap();
    let (inner, _) = inner_trace.call(&"deep".into(), work).unwrap();
    assert!(heard.try_recv().is_err());
    drop(inner);
    let spent = Spent {
        revision: 3,
        ..Spent::default()
    };
    let bytes = Bytes {
        arguments: 1,
        results: 2,
    };
    outer.end("ok", spent, Some(bytes));
    begun.trace.ended(|| of_request(&begun));
    let spans: Vec<Span> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
    let [inner, outer, request] = &*spans else {
        panic!("three spans: {spans:?}")
    };
    assert_eq!(inner.outcome, "cancelled");
    assert_eq!((outer.outcome, outer.revision), ("ok", 3));
    assert_eq!(outer.bytes, Some(bytes));
    assert_eq!(inner.parent, Some(outer.context.span));
    assert_eq!(outer.parent, Some(request.context.span));
    assert_eq!(inner.context.trace, request.context.trace);
    assert_eq!(tracer.lost(), 0);
}

#[test]
fn a_call_that_no_request_led_to_begins_a_trace() {
    let tracer = Tracer::default();
    assert!(tracer.call().is_none());
    let mut heard = tracer.listen(8);
    let (outer, trace) = tracer.call().unwrap().call(&"back".into(), work).unwrap();
    drop(trace.call(&"deep".into(), work));
    outer.end("ok", Spent::default(), None);
    let (inner, outer) = (heard.try_recv().unwrap(), heard.try_recv().unwrap());
    assert_eq!(outer.parent, None);
    assert_eq!(inner.parent, Some(outer.context.span));
}

#[test]
fn a_listener_that_is_too_slow_or_gone_holds_nobody_up() {
    let tracer = Tracer::default();
    let heard = tracer.listen(1);
    let begun = request(&tracer, true);
    for _ in 0..3 {
        drop(begun.trace.call(&"back".into(), work));
    }
    assert_eq!(tracer.lost(), 2);
    drop(heard);
    assert!(!tracer.is_heard());
    assert!(tracer.request(&mut HeaderMap::new(), false).is_none());
    assert_eq!(begun.trace.calls().unwrap().spans.len(), 3);
}

#[test]
fn calls_are_kept_in_the_order_of_their_beginnings_and_bounded() {
    let tracer = Tracer::default();
    let begun = request(&tracer, true);
    let call = |service: &str| begun.trace.call(&service.into(), work).unwrap().0;
    let (first, second) = (call("first"), call("second"));
    second.end("ok", Spent::default(), None);
    first.end("trap", Spent::default(), None);
    let unfinished = call("third");
    for _ in 0..CALLS_KEPT {
        drop(call("more"));
    }
    let calls = begun.trace.calls().unwrap();
    let told = |span: &Span| (span.service.as_deref().unwrap().to_owned(), span.outcome);
    let told: Vec<_> = calls.spans.iter().take(4).map(told).collect();
    let wanted = [
        ("first", "trap"),
        ("second", "ok"),
        ("third", "unfinished"),
        ("more", "cancelled"),
    ];
    let wanted = wanted.map(|(service, outcome)| (service.to_owned(), outcome));
    assert_eq!(told, wanted);
    assert_eq!(calls.spans.len(), CALLS_KEPT);
    assert_eq!(calls.omitted, 3);
    drop(calls);
    drop(unfinished);
}

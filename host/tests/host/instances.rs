//! How instances are made, kept, shared and dropped.

use crate::fixture::{Connection, Host, get, service};

async fn with(component: &str, instances: &str) -> Host {
    Host::with(
        service("probe")
            .component(component)
            .everywhere()
            .instances(instances)
            .restart("max = 1000, within = \"1s\""),
    )
    .start()
    .await
}

async fn counts(host: &Host, requests: usize) -> Vec<u64> {
    let mut connection = Connection::http1(host).await;
    let mut counts = Vec::new();
    for _ in 0..requests {
        counts.push(connection.ask(get("/count")).await.expect(200).number());
    }
    counts
}

#[tokio::test]
async fn a_0_2_instance_serves_one_request_unless_told_otherwise() {
    let host = Host::probe().await;
    assert_eq!(counts(&host, 4).await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn an_instance_is_used_so_many_times() {
    let host = with("probe", "reuse = 3").await;
    assert_eq!(counts(&host, 7).await, [1, 2, 3, 1, 2, 3, 1]);
}

#[tokio::test]
async fn a_0_3_instance_is_used_so_many_times() {
    let host = with("probe-p3", "reuse = 3, concurrent = 1").await;
    assert_eq!(counts(&host, 7).await, [1, 2, 3, 1, 2, 3, 1]);
}

#[tokio::test]
async fn a_0_3_instance_is_reused_unless_told_otherwise() {
    let host = Host::with(service("p3").component("probe-p3").everywhere())
        .start()
        .await;
    assert_eq!(counts(&host, 4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_0_3_instance_serves_several_requests_at_once() {
    let host = with("probe-p3", "concurrent = 8, reuse = 1000").await;
    let connection = Connection::http2(&host).await;
    let asked = (0..8).map(|_| {
        let mut stream = connection.stream();
        async move { stream.ask(get("/sleep/600")).await.expect(200) }
    });
    futures::future::join_all(asked).await;
    assert_eq!(host.get("/peak").await.number(), 8);
    host.access("/peak").await;
    let lines = host.log();
    let slept = lines.iter().filter(|line| line["path"] == "/sleep/600");
    let instances: std::collections::HashSet<_> =
        slept.map(|line| line["instance"].to_string()).collect();
    assert_eq!(instances.len(), 1, "{instances:?}");
}

#[tokio::test]
async fn more_requests_than_one_instance_takes_get_another_up_to_the_maximum() {
    let host = with("probe-p3", "concurrent = 2, max = 2").await;
    let connection = Connection::http2(&host).await;
    let asked = (0..8).map(|_| {
        let mut stream = connection.stream();
        async move { stream.ask(get("/sleep/300")).await.expect(200) }
    });
    let asked = futures::future::join_all(asked);
    let mut asked = std::pin::pin!(asked);
    let (mut instances, mut in_flight) = (0, 0);
    loop {
        let row = host.row("probe");
        instances = instances.max(row["instances"].as_u64().unwrap());
        in_flight = in_flight.max(row["in_flight"].as_u64().unwrap());
        let pause = std::time::Duration::from_millis(10);
        if tokio::time::timeout(pause, &mut asked).await.is_ok() {
            break;
        }
    }
    assert_eq!((instances, in_flight), (2, 4));
}

#[tokio::test]
async fn there_are_no_more_0_2_instances_than_the_maximum() {
    let host = with("probe", "max = 2").await;
    let connection = Connection::http2(&host).await;
    let asked = (0..6).map(|_| {
        let mut stream = connection.stream();
        async move { stream.ask(get("/sleep/200")).await.expect(200) }
    });
    let asked = futures::future::join_all(asked);
    let mut asked = std::pin::pin!(asked);
    let mut most = 0;
    while tokio::time::timeout(std::time::Duration::from_millis(5), &mut asked)
        .await
        .is_err()
    {
        most = most.max(host.row("probe")["in_flight"].as_u64().unwrap());
    }
    assert_eq!(most, 2);
}

#[tokio::test]
async fn so_many_instances_are_kept_warm() {
    for component in ["probe", "probe-p3"] {
        let host = with(component, "warm = 3, reuse = 5, idle = \"50ms\"").await;
        host.until("probe", "three warm", |row| row["instances"] == 3)
            .await;
        // Those that were used up are made anew.
        counts(&host, 12).await;
        host.until("probe", "three warm again", |row| row["instances"] == 3)
            .await;
    }
}

#[tokio::test]
async fn a_warm_service_of_one_instance_never_has_another() {
    let host = with("probe", "warm = 1, max = 1, reuse = 1000").await;
    assert_eq!(counts(&host, 1).await, [1]);
    // Long enough for many looks at what is missing.
    host.get("/sleep/500").await.expect(200);
    let row = host.at_rest("probe").await;
    assert_eq!(row["instances"], 1, "{row}");
    assert_eq!(counts(&host, 2).await, [2, 3]);
}

#[tokio::test]
async fn an_instance_that_nobody_uses_is_dropped() {
    for component in ["probe", "probe-p3"] {
        let host = with(component, "reuse = 100, idle = \"300ms\"").await;
        counts(&host, 2).await;
        host.until("probe", "none left", |row| {
            row["instances"] == 0 && row["memory_bytes"] == 0
        })
        .await;
        assert_eq!(counts(&host, 1).await, [1], "{component}");
    }
}

#[tokio::test]
async fn an_instance_that_crashed_is_never_used_again() {
    for component in ["probe", "probe-p3"] {
        let host = with(component, "reuse = 100").await;
        assert_eq!(counts(&host, 2).await, [1, 2], "{component}");
        host.get("/trap").await.expect_problem(502);
        assert_eq!(counts(&host, 2).await, [1, 2], "{component}");
        assert_eq!(host.row("probe")["crashes"], 1, "{component}");
    }
}

#[tokio::test]
async fn an_instance_whose_client_left_is_never_used_again() {
    for component in ["probe", "probe-p3"] {
        let host = with(component, "reuse = 100").await;
        assert_eq!(counts(&host, 2).await, [1, 2], "{component}");
        let mut connection = Connection::http1(&host).await;
        tokio::select! {
            answer = connection.ask(get("/sleep/20000")) => panic!("answered: {answer:?}"),
            _ = host.until("probe", "in flight", |row| row["in_flight"] == 1) => {}
        }
        drop(connection);
        // It is not left to run on, either.
        host.until("probe", "no instance", |row| {
            row["memory_bytes"] == 0 && row["instances"] == 0
        })
        .await;
        assert_eq!(counts(&host, 2).await, [1, 2], "{component}");
    }
}

#[tokio::test]
async fn an_instance_that_was_too_slow_is_never_used_again() {
    for component in ["probe", "probe-p3"] {
        let host = Host::with(
            service("probe")
                .component(component)
                .everywhere()
                .instances("reuse = 100")
                .limits("deadline = \"300ms\""),
        )
        .start()
        .await;
        assert_eq!(counts(&host, 2).await, [1, 2], "{component}");
        host.get("/hang").await.expect_problem(504);
        assert_eq!(counts(&host, 2).await, [1, 2], "{component}");
    }
}

#[tokio::test]
async fn a_trap_in_a_shared_instance_ends_its_requests_and_the_next_is_answered() {
    let host = with("probe-p3", "concurrent = 16").await;
    let connection = Connection::http2(&host).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let mut stream = connection.stream();
        asked.spawn(async move { stream.ask(get("/sleep/15000")).await });
    }
    host.until("probe", "six in flight", |row| row["in_flight"] == 6)
        .await;
    connection
        .stream()
        .ask(get("/trap"))
        .await
        .expect_problem(502);
    while let Some(reply) = asked.join_next().await {
        reply.unwrap().expect_problem(502);
    }
    connection.stream().ask(get("/")).await.expect(200);
    let row = host.at_rest("probe").await;
    assert_eq!(
        row["crashes"], 1,
        "one instance was lost, however many were on it"
    );
    assert_eq!(row["phase"]["name"], "ready");
}

#[tokio::test]
async fn a_client_that_leaves_a_shared_instance_does_not_disturb_the_others_on_it() {
    let host = with("probe-p3", "concurrent = 16").await;
    let mut patient = Connection::http1(&host).await;
    let patient = tokio::spawn(async move { patient.ask(get("/sleep/1000")).await });
    host.until("probe", "one in flight", |row| row["in_flight"] == 1)
        .await;
    let mut impatient = Connection::http1(&host).await;
    tokio::select! {
        answer = impatient.ask(get("/sleep/20000")) => panic!("answered: {answer:?}"),
        _ = host.until("probe", "two in flight", |row| row["in_flight"] == 2) => {}
    }
    drop(impatient);
    patient.await.unwrap().expect(200);
    host.at_rest("probe").await;
    assert_eq!(host.row("probe")["crashes"], 0);
}

#[tokio::test]
async fn work_after_the_response_goes_on() {
    let host = with("probe-p3", "reuse = 1000").await;
    assert_eq!(host.get("/linger/200").await.text(), "lingering\n");
    host.logged("what it does afterwards", |line| {
        line["message"] == "lingered 200 ms"
    })
    .await;
}

#[tokio::test]
async fn instances_share_nothing() {
    let host = with("probe", "reuse = 100").await;
    let mut busy = Connection::http1(&host).await;
    let first = tokio::spawn(async move { busy.ask(get("/sleep/800")).await });
    host.until("probe", "in flight", |row| row["in_flight"] == 1)
        .await;
    // Another instance: its count begins at one.
    assert_eq!(counts(&host, 2).await, [1, 2]);
    first.await.unwrap().expect(200);
}

#[tokio::test]
async fn random_numbers_differ_between_instances() {
    let host = Host::probe().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10 {
        assert!(seen.insert(host.get("/random").await.number()));
    }
    assert!(
        host.get("/time")
            .await
            .text()
            .lines()
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            > 0
    );
}

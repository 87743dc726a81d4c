//! What a deploy means for what is under way and for what comes after.

use super::fixture::{Connection, Host, Output, get, service, skep};
use super::{application, chain, front, numbers, versioned, versioned_service, versions};

#[tokio::test]
async fn what_is_deployed_serves_and_nothing_else_changes() {
    let host = application().start().await;
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);

    let said = host.deploy("middle", 2, '0').expect(0);
    assert!(
        said.stdout.contains("middle: revision 1 → 2"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("generation 2 serves"),
        "{}",
        said.stdout
    );
    assert_eq!(versions(&host).await, [1, 2, 1, 1]);
    let rows = ["front", "middle", "leaf"].map(|name| host.row(name)["revision"].clone());
    assert_eq!(rows, [1, 2, 1]);
    assert_eq!(host.status()["generation"], 2);

    host.deploy("leaf", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 2, 2, 2]);
    host.deploy("front", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [2, 2, 2, 2]);
    // What was not deployed was not started anew.
    let row = host.row("middle");
    assert_eq!(
        (&row["revision"], &row["restarts"]),
        (&2.into(), &0.into()),
        "{row}"
    );
}

#[tokio::test]
async fn the_same_component_again_is_no_change() {
    let host = application().start().await;
    let said = host.deploy("leaf", 1, '0').expect(0);
    assert!(
        said.stdout.contains("no service has another revision"),
        "{}",
        said.stdout
    );
    assert_eq!(host.row("leaf")["revision"], 1);
    assert_eq!(host.status()["generation"], 1);
}

#[tokio::test]
async fn a_request_keeps_to_the_generation_that_it_began_with() {
    let host = application().start().await;
    let mut waiting = Connection::http1(&host).await;
    let mut other = Connection::http1(&host).await;
    let begun = tokio::spawn(async move { waiting.ask(get("/wait/1500")).await });
    host.until("front", "a request", |row| row["in_flight"] == 1)
        .await;
    // Both of those that it calls are replaced between its two calls of them.
    host.deploy("leaf", 2, '0').expect(0);
    host.deploy("middle", 2, '0').expect(0);
    assert_eq!(numbers(other.ask(get("/versions")).await), [1, 2, 2, 2]);
    assert_eq!(numbers(begun.await.unwrap()), [1, 1, 1, 1, 1, 1, 1, 1]);
}

#[tokio::test]
async fn a_body_that_streams_comes_whole_from_the_revision_that_began_it() {
    let host = application().start().await;
    let mut streaming = Connection::http1(&host).await;
    let streamed = tokio::spawn(async move { streaming.ask(get("/stream/40/25")).await });
    host.until("front", "a request", |row| row["in_flight"] == 1)
        .await;
    for version in 2..6 {
        host.deploy("leaf", version, '0').expect(0);
        host.deploy("front", version, '0').expect(0);
    }
    let numbers = numbers(streamed.await.unwrap());
    assert_eq!(numbers.len(), 160);
    assert!(numbers.iter().all(|number| *number == 1), "{numbers:?}");
    assert_eq!(versions(&host).await, [5, 1, 5, 5]);
}

#[tokio::test]
async fn a_handle_stays_on_its_revision_until_the_drain_is_over() {
    let front = front().instances("reuse = 1000, max = 1");
    let plan = chain(
        front,
        versioned_service("middle"),
        versioned_service("leaf"),
    );
    let host = plan.http("drain-timeout = \"2s\"").start().await;
    let mut connection = Connection::http1(&host).await;
    assert_eq!(numbers(connection.ask(get("/hold")).await), [1]);
    host.deploy("leaf", 2, '0').expect(0);
    // The handle is on what was; calls without a handle go to what is.
    assert_eq!(numbers(connection.ask(get("/held")).await), [1]);
    assert_eq!(
        numbers(connection.ask(get("/versions")).await),
        [1, 1, 2, 2]
    );
    let line = host.message("what was under way is cut").await;
    assert_eq!(line["service"], "leaf", "{line}");
    assert_eq!(line["revision"], 1, "{line}");
    connection.ask(get("/held")).await.expect_problem(502);
    assert_eq!(numbers(connection.ask(get("/hold")).await), [2]);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_and_counted() {
    let host = application()
        .http("drain-timeout = \"300ms\"")
        .start()
        .await;
    let mut waiting = Connection::http1(&host).await;
    let mut streaming = Connection::http1(&host).await;
    let waited = tokio::spawn(async move { waiting.ask(get("/wait/20000")).await });
    let streamed = tokio::spawn(async move { streaming.ask(get("/stream/2/20000")).await });
    host.until("front", "two requests", |row| row["in_flight"] == 2)
        .await;
    host.deploy("front", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [2, 1, 1, 1]);
    waited.await.unwrap().expect_problem(504);
    assert!(
        !streamed.await.unwrap().whole,
        "it looks as if it were whole"
    );
    let line = host.message("what was under way is cut").await;
    assert_eq!(line["in_flight"], 2, "{line}");
    let line = host.access("/wait/20000").await;
    assert_eq!(line["outcome"], "replaced", "{line}");
    // Whoever is cut is no crash.
    assert_eq!(host.row("front")["crashes"], 0);
}

#[tokio::test]
async fn going_back_is_as_good_as_going_on() {
    let host = application().start().await;
    host.deploy("leaf", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    let said = host.command("rollback", &["leaf"]).expect(0);
    assert!(
        said.stdout.contains("leaf: revision 2 → 1"),
        "{}",
        said.stdout
    );
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
    assert_eq!(host.status()["generation"], 3);
    // It was kept warm: it has not been started again.
    let row = host.row("leaf");
    assert_eq!(
        (&row["revision"], &row["restarts"]),
        (&1.into(), &0.into()),
        "{row}"
    );
    host.command("rollback", &["leaf"]).expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn several_services_change_together_by_applying_the_manifest() {
    let host = application().start().await;
    for name in ["front", "middle", "leaf"] {
        let file = host.directory().join(format!("{name}.wasm"));
        std::fs::write(file, versioned(name, 2, '0')).unwrap();
    }
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let more = "[service.extra]\ncomponent = \"./leaf.wasm\"\n[service.middle.links]\n\
                \"fixture:versions/leaf\" = \"extra\"\n[service.front.links]\n\
                \"fixture:versions/leaf\" = \"leaf\"\n";
    std::fs::write(host.manifest(), format!("{manifest}{more}")).unwrap();
    let said = host.command("apply", &[]).expect(0);
    for line in [
        "front: revision 1 → 2",
        "extra: new, revision 1",
        "generation 2 serves",
    ] {
        assert!(said.stdout.contains(line), "no {line:?} in {}", said.stdout);
    }
    assert_eq!(versions(&host).await, [2, 2, 2, 2]);

    std::fs::write(host.manifest(), &manifest).unwrap();
    let said = host.command("apply", &[]).expect(0);
    assert!(
        said.stdout.contains("extra: removed, was revision 1"),
        "{}",
        said.stdout
    );
    assert_eq!(versions(&host).await, [2, 2, 2, 2]);
}

#[tokio::test]
async fn limits_routes_and_http_settings_change_while_it_runs() {
    let host = application().start().await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let other = manifest
        .replace("/{*rest}", "/versions")
        .replace("[http]", "[http]\naccess-log = false");
    std::fs::write(host.manifest(), other).unwrap();
    let mut connection = Connection::http1(&host).await;
    connection.ask(get("/large/1")).await.expect(200);
    host.access("/large/1").await;
    let said = host.command("apply", &[]).expect(0);
    assert!(
        said.stdout.contains("no service has another revision"),
        "{}",
        said.stdout
    );
    // The connection is the same: it is the next request that the change is for.
    connection.ask(get("/large/2")).await.expect(404);
    assert_eq!(
        numbers(connection.ask(get("/versions")).await),
        [1, 1, 1, 1]
    );
    assert!(!host.log_text().contains("/large/2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_operators_deploy_at_the_same_time_both_serves() {
    let host = application().start().await;
    for version in 2..5 {
        let deploys = ["middle", "leaf"].map(|service| {
            let file = host.file(service, version, '0');
            let mut deploy = skep();
            deploy
                .args(["deploy", service])
                .arg(file)
                .arg(host.manifest());
            tokio::task::spawn_blocking(move || Output::of(&mut deploy).code)
        });
        for deploy in deploys {
            assert_eq!(deploy.await.unwrap(), Some(0));
        }
        assert_eq!(versions(&host).await, [1, version, version, version]);
    }
}

/// A front of WASI 0.3 with one instance for all requests, and the leaf that it asks.
async fn at_once() -> Host {
    let front = service("front").component("versioned-front-p3");
    Host::with(front.everywhere().instances("max = 1"))
        .and(versioned_service("leaf"))
        .bytes("leaf.wasm", versioned("leaf", 1, '0'))
        .http("log-calls = true")
        .start()
        .await
}

#[tokio::test]
async fn requests_at_once_on_one_instance_keep_each_to_its_generation() {
    let host = at_once().await;
    let ask = async |path: String| {
        let mut connection = Connection::http1(&host).await;
        numbers(connection.ask(get(&path)).await)
    };
    assert_eq!(ask("/".to_owned()).await, [1]);
    let mut begun = Vec::new();
    for path in ["/wait/2000", "/stream/20/100"] {
        let mut connection = Connection::http1(&host).await;
        begun.push(tokio::spawn(async move {
            numbers(connection.ask(get(path)).await)
        }));
    }
    host.until("front", "two requests", |row| row["in_flight"] == 2)
        .await;
    host.deploy("leaf", 2, '0').expect(0);
    // They come to the instance that the others are on, again and again.
    for _ in 0..20 {
        assert_eq!(ask("/wait/20".to_owned()).await, [2, 2]);
    }
    host.deploy("leaf", 3, '0').expect(0);
    assert_eq!(ask("/stream/3/1".to_owned()).await, [3, 3, 3]);
    let row = host.row("front");
    assert_eq!(
        (&row["instances"], &row["crashes"]),
        (&1.into(), &0.into()),
        "{row}"
    );
    let [waited, streamed] = <[_; 2]>::try_from(begun).unwrap();
    assert_eq!(waited.await.unwrap(), [1, 1]);
    assert_eq!(streamed.await.unwrap(), [1; 20]);
    // Each call is told of with the request that it was for.
    let line = host.access("/wait/2000").await;
    let calls = line["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2, "{line:?}");
    assert!(calls.iter().all(|call| call["revision"] == 1), "{line:?}");
    let line = host.access("/stream/20/100").await;
    assert_eq!(line["calls"].as_array().unwrap().len(), 20, "{line:?}");
}

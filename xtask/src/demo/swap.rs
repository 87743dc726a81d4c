//! Shows that nobody notices a swap: the shop serves under a constant load, its catalog is exchanged
//! back and forth, versions that will not do are deployed, and oha counts the requests that failed.
//!
//! There are two acts, each with a load of its own. In the first nothing may fail. In the second a version
//! that no check finds out gets a share of the requests, some of which have to fail for it to be found out.
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::address_to_use;
use super::oha::{self, Load, Report};
use super::shop::{Said, Shop};
use super::versions::{self, BRITTLE, CRASHING, INCOMPATIBLE, SALE, Version};
use crate::Result;
use crate::guests::toolchain::Toolchain;
use crate::run::{say, target_dir};

/// What is asked for, again and again: the storefront calls the catalog for it.
const PAGE: &str = "/product/heather-honey";
const SERVICE: &str = "catalog";

/// How often the catalog is exchanged, and as often back.
const ROUNDS: usize = 5;
/// Between two steps, so that what has been deployed serves for a while.
const PAUSE: Duration = Duration::from_secs(1);

/// What the brittle version gets of the requests.
const SHARE: &str = "5%";
/// Until it has to have been taken back.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(250);

/// Exit codes of `skep deploy`.
const REFUSED_AT_CHECK: i32 = 3;
const REFUSED_AT_START: i32 = 5;

pub(super) fn swap(toolchain: &Toolchain, example: &Path) -> Result {
    let folder = target_dir().join("demo");
    versions::build(toolchain, example, &folder)?;
    let oha = oha::prepare()?;
    let address = address_to_use(Some("127.0.0.1:0"))?;
    say("starting the shop");
    let skep = target_dir().join("release/skep");
    let shop = Shop::start(&skep, example, &folder.join("shop"), address)?;
    let demo = Demo {
        shop,
        folder: &folder,
        start: Instant::now(),
    };
    demo.tell(&format!("oha asks http://{address}{PAGE}, all the time"))?;
    let swaps = demo.under_load(&oha, Demo::swaps_and_refusals)?;
    demo.tell("a second load, to count apart")?;
    let trial = demo.under_load(&oha, Demo::trial)?;
    let history = demo.shop.skep("history", &["-n", "3"])?.printed;
    demo.shop.stop()?;

    let mut table = format!("\n{:22}{}\n", "", Report::HEAD);
    table += &format!("{:22}{}\n", "swaps and refusals", swaps.row());
    table += &format!("{:22}{}\n", format!("{SHARE} on trial"), trial.row());
    let failed = swaps.failed();
    print(&format!(
        "\nskep history -n 3:\n{history}\n{table}\n\
         failed requests while the catalog was exchanged {} times and two versions were refused: {failed}\n\
         failed requests while a version that crashes was on trial: {}",
        2 * ROUNDS,
        trial.failed(),
    ))?;
    match failed {
        0 => Ok(()),
        _ => Err(format!("{failed} requests failed: {:?}", swaps.failures)),
    }
}

struct Demo<'a> {
    shop: Shop,
    /// Where the versions are.
    folder: &'a Path,
    start: Instant,
}

impl Demo<'_> {
    /// Does an act with the load on from before to after it.
    fn under_load(&self, oha: &Path, act: fn(&Self) -> Result) -> Result<Report> {
        let load = Load::start(oha, self.shop.address(), PAGE)?;
        thread::sleep(PAUSE);
        act(self)?;
        load.end()
    }

    /// The first act.
    fn swaps_and_refusals(&self) -> Result {
        let price = self.shop.price(PAGE)?;
        self.tell(&format!(
            "the catalog as it is: heather honey costs {price}"
        ))?;
        for round in 0..ROUNDS {
            let what = match round {
                0 => format!("deploy {} ({})", SALE.name, SALE.story),
                _ => format!("deploy {}", SALE.name),
            };
            let sale = self.deploy(&SALE, &["--json"])?;
            let reduced = self.swapped(&what, &sale)?;
            if reduced == price {
                return Err(format!("the sale serves, and honey still costs {price}"));
            }
            let back = self.shop.skep("rollback", &[SERVICE, "--json"])?;
            let now = self.swapped("rollback", &back)?;
            if now != price {
                return Err(format!("rolled back, honey costs {now} instead of {price}"));
            }
        }
        self.refused(&INCOMPATIBLE, REFUSED_AT_CHECK)?;
        self.refused(&CRASHING, REFUSED_AT_START)?;
        let now = self.shop.price(PAGE)?;
        self.tell(&format!("heather honey still costs {now}"))?;
        match now == price {
            true => Ok(()),
            false => Err(format!("the price was {price}")),
        }
    }

    /// The second act.
    fn trial(&self) -> Result {
        let before = self.events()?.last().map_or(0, |(number, _)| *number);
        let tried = self.deploy(&BRITTLE, &["--canary", SHARE])?;
        if tried.code != Some(0) {
            return Err(format!(
                "{} was not put on trial: {}",
                BRITTLE.name, tried.told
            ));
        }
        self.tell(&format!(
            "deploy --canary {SHARE} {} ({})",
            BRITTLE.name, BRITTLE.story
        ))?;
        self.quote(&tried.printed)?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let events = self.events()?;
            let refused =
                |(number, event): &&(u64, Value)| *number > before && event["kind"] == "refused";
            if let Some((_, event)) = events.iter().find(refused) {
                self.tell("it is taken back by itself")?;
                self.quote(event["text"].as_str().unwrap_or_default())?;
                thread::sleep(PAUSE);
                return Ok(());
            }
            thread::sleep(POLL);
        }
        Err(format!(
            "{} was not taken back within {PATIENCE:?}",
            BRITTLE.name
        ))
    }

    fn deploy(&self, version: &Version, options: &[&str]) -> Result<Said> {
        let component = version.component(self.folder);
        let mut arguments = vec![SERVICE];
        let component = component.to_string_lossy();
        arguments.push(&component);
        arguments.extend(options);
        self.shop.skep("deploy", &arguments)
    }

    /// Tells of a change that was made, lets it serve for a while, and returns what honey costs now.
    fn swapped(&self, what: &str, said: &Said) -> Result<String> {
        let failed = || format!("{what} failed: {}{}", said.printed, said.told);
        let changed: Value = serde_json::from_str(&said.printed).map_err(|_| failed())?;
        let (to, took) = (&changed["services"][0]["to"], &changed["took_ms"]);
        if said.code != Some(0) || !to.is_number() || !took.is_number() {
            return Err(failed());
        }
        let price = self.shop.price(PAGE)?;
        self.tell(&format!(
            "{what}: revision {to} serves after {took} ms, heather honey costs {price}"
        ))?;
        thread::sleep(PAUSE);
        Ok(price)
    }

    /// Deploys what has to be refused, and quotes why it was.
    fn refused(&self, version: &Version, code: i32) -> Result {
        let said = self.deploy(version, &[])?;
        if said.code != Some(code) {
            return Err(format!(
                "{} should have been refused with exit code {code}: {:?} {}{}",
                version.name, said.code, said.printed, said.told
            ));
        }
        self.tell(&format!(
            "deploy {} ({}): refused, exit code {code}",
            version.name, version.story
        ))?;
        self.quote(&said.told)?;
        thread::sleep(PAUSE);
        Ok(())
    }

    /// The newest events, the latest last, each with its number.
    fn events(&self) -> Result<Vec<(u64, Value)>> {
        let said = self.shop.skep("events", &["--json"])?;
        let numbered = |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            Some((event["sequence"].as_u64()?, event))
        };
        let events = said.printed.lines().map(numbered).collect::<Option<_>>();
        events
            .filter(|_| said.code == Some(0))
            .ok_or_else(|| format!("skep events printed {:?} {}", said.printed, said.told))
    }

    /// A line of the timeline.
    fn tell(&self, what: &str) -> Result {
        let at = format!("+{:.1}s", self.start.elapsed().as_secs_f64());
        print(&format!("{at:>7}  {what}"))
    }

    /// What a command said, below its line.
    fn quote(&self, text: &str) -> Result {
        text.lines()
            .try_for_each(|line| print(&format!("{:11}{line}", "")))
    }
}

impl Report {
    const HEAD: &str = " requests   failed        p50        p99    slowest";

    fn row(&self) -> String {
        format!(
            "{:9}{:9}{:>8.1} ms{:>8.1} ms{:>7.1} ms",
            self.requests,
            self.failed(),
            self.p50,
            self.p99,
            self.slowest
        )
    }
}

/// At once, also into a pipe.
fn print(text: &str) -> Result {
    println!("{text}");
    std::io::stdout()
        .flush()
        .map_err(|error| format!("writing to stdout: {error}"))
}

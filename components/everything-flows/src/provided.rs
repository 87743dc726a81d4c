//! What another service calls.
use wasip3::spawn_local;
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

use crate::exports::fixture::flows::flows::{Guest, Reading};
use crate::{Flows, pause, wit_future, wit_stream};

/// Bytes that are written at once.
const PIECE: usize = 16 << 10;

fn piece(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|number| number as u8).collect()
}

fn written(n: u32, then: impl Future<Output = ()> + 'static) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        let mut at = 0;
        while at < n as usize {
            let len = PIECE.min(n as usize - at);
            if !writer.write_all(piece(at, len)).await.is_empty() {
                return;
            }
            at += len;
        }
        then.await;
        drop(writer);
    });
    reader
}

async fn breaks_down() {
    // What was written is on its way.
    pause(20).await;
    panic!("the writer traps on purpose");
}

impl Guest for Flows {
    async fn bytes(n: u32) -> StreamReader<u8> {
        written(n, async {})
    }

    async fn readings(n: u32) -> StreamReader<Reading> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            let reading = |number: u32| Reading {
                ok: number.is_multiple_of(2),
                at: number.into(),
                name: format!("no. {number}"),
                value: number.is_multiple_of(3).then_some(f64::from(number) / 2.0),
            };
            writer.write_all((0..n).map(reading).collect()).await;
        });
        reader
    }

    async fn ticks(n: u32) -> StreamReader<()> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            writer.write_all(vec![(); n as usize]).await;
        });
        reader
    }

    async fn endless() -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            let mut at = 0;
            loop {
                let left = writer.write_all(piece(at, PIECE)).await;
                at += PIECE - left.len();
                if !left.is_empty() {
                    break;
                }
            }
            eprintln!("written: {at}");
        });
        reader
    }

    async fn breaks(n: u32) -> StreamReader<u8> {
        written(n, breaks_down())
    }

    async fn breaks_and_tells(n: u32) -> (StreamReader<u8>, FutureReader<Result<(), String>>) {
        let (writer, told) = wit_future::new(|| Ok(()));
        let end = async move {
            breaks_down().await;
            drop(writer);
        };
        (written(n, end), told)
    }

    async fn tells(n: u32) -> (StreamReader<u8>, FutureReader<Result<(), String>>) {
        let (writer, told) = wit_future::new(|| Ok(()));
        let end = async move {
            let _ = writer.write(Ok(())).await;
        };
        (written(n, end), told)
    }

    async fn count(data: StreamReader<u8>) -> (u64, u64) {
        let all = data.collect().await;
        let sum = all.iter().map(|byte| u64::from(*byte)).sum();
        (all.len() as u64, sum)
    }

    async fn sum(values: StreamReader<u32>) -> u64 {
        values.collect().await.into_iter().map(u64::from).sum()
    }

    async fn names(readings: StreamReader<Reading>) -> String {
        let all = readings.collect().await;
        let names: Vec<String> = all.into_iter().map(|reading| reading.name).collect();
        names.join(" ")
    }

    async fn some(mut values: StreamReader<u32>, n: u32) -> u64 {
        let mut sum = 0;
        for _ in 0..n {
            sum += u64::from(values.next().await.unwrap_or_default());
        }
        sum
    }

    async fn ignore(values: StreamReader<u32>) {
        drop(values);
    }

    async fn shout(mut words: StreamReader<String>) -> StreamReader<String> {
        let (mut writer, reader) = wit_stream::new();
        spawn_local(async move {
            while let Some(word) = words.next().await {
                if writer.write_one(word.to_uppercase()).await.is_some() {
                    break;
                }
            }
        });
        reader
    }

    fn back(data: StreamReader<u8>) -> StreamReader<u8> {
        data
    }

    async fn later(text: String, ms: u32) -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        spawn_local(async move {
            pause(ms).await;
            let _ = writer.write(text).await;
        });
        reader
    }

    async fn await_it(text: FutureReader<String>) -> String {
        text.await
    }

    async fn never() -> FutureReader<String> {
        let (writer, reader) = wit_future::new(String::new);
        spawn_local(async move {
            breaks_down().await;
            drop(writer);
        });
        reader
    }

    async fn never_but_told() -> FutureReader<Result<u32, String>> {
        let (writer, reader) = wit_future::new(|| Ok(0));
        spawn_local(async move {
            breaks_down().await;
            drop(writer);
        });
        reader
    }
}

/// How a read ended, for those who count what they get.
pub(crate) fn is_over(result: StreamResult) -> bool {
    !matches!(result, StreamResult::Complete(_))
}

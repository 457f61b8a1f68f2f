//! Tests that count: a few trials each time, and as many as `./dev reliability` asks for.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Runs rounds of so many trials each, says how many there were and how many went wrong, and insists that none did. A
/// round that fails counts as one violation and does not keep the next from running. `quick` is how many rounds there are
/// when nobody asks for more: `FACILITATOR_TRIALS` multiplies it.
pub(crate) async fn counted(id: &str, quick: usize, trials_each: usize, round: impl AsyncFnMut(usize)) {
    rounds(id, quick * times(), trials_each, round).await;
}

/// The same in one round, which is told how many trials it has: those of a thing that has to hold in the long run.
pub(crate) async fn counted_at_once(id: &str, quick: usize, mut round: impl AsyncFnMut(usize)) {
    let trials = quick * times();
    rounds(id, 1, trials, async |_| round(trials).await).await;
}

fn times() -> usize {
    std::env::var("FACILITATOR_TRIALS").map_or(1, |times| times.parse().unwrap())
}

async fn rounds(id: &str, rounds: usize, trials_each: usize, mut round: impl AsyncFnMut(usize)) {
    let mut violations = 0;
    for number in 0..rounds {
        if AssertUnwindSafe(round(number)).catch_unwind().await.is_err() {
            violations += 1;
        }
        if rounds > 1 {
            println!("PROGRESS {id} {}/{rounds} violations={violations}", number + 1);
        }
    }
    println!(
        "RELIABILITY {id} trials={} violations={violations}",
        rounds * trials_each
    );
    assert_eq!(violations, 0, "{id}");
}

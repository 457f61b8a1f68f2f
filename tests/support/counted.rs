//! Tests that count: a few trials each time, and as many as `./dev reliability` asks for.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

/// Runs rounds of so many trials each, says how many there were and how many went wrong, and insists that none did. A
/// round that fails counts as one violation and does not keep the next from running. `quick` is how many rounds there are
/// when nobody asks for more: `FACILITATOR_TRIALS` multiplies it.
pub(crate) async fn counted(id: &str, quick: usize, trials_each: usize, mut round: impl AsyncFnMut(usize)) {
    let times: usize = std::env::var("FACILITATOR_TRIALS").map_or(1, |times| times.parse().unwrap());
    let rounds = quick * times;
    let mut violations = 0;
    for number in 0..rounds {
        if AssertUnwindSafe(round(number)).catch_unwind().await.is_err() {
            violations += 1;
        }
        if times > 1 {
            println!("PROGRESS {id} {}/{rounds} violations={violations}", number + 1);
        }
    }
    println!(
        "RELIABILITY {id} trials={} violations={violations}",
        rounds * trials_each
    );
    assert_eq!(violations, 0, "{id}");
}

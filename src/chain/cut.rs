//! Where a time cuts a chain.

use crate::domain::rail::ChainPoint;
use crate::domain::time::Timestamp;

/// The last block before this time, at or below `newest`; none when there is no such block. `at` gives the block of a height,
/// or the next one below where that height has none. Asks for twice as many as the logarithm of how far down it is, and for
/// none much further down, since nodes forget old blocks.
///
/// # Errors
/// What `at` says.
pub(super) async fn last_before<E, F>(
    time: Timestamp,
    newest: ChainPoint,
    at: impl Fn(u64) -> F,
) -> Result<Option<ChainPoint>, E>
where
    F: Future<Output = Result<ChainPoint, E>>,
{
    if newest.time < time {
        return Ok(Some(newest));
    }
    let (mut above, mut step): (u64, u64) = (newest.height, 1);
    let mut last = loop {
        if above == 0 {
            return Ok(None);
        }
        let block = at(above.saturating_sub(step)).await?;
        if block.time < time {
            break block;
        }
        above = block.height;
        step = step.saturating_mul(2);
    };
    // Of what is between, nothing below `from` is wanted, and everything from `above` on is too late.
    let mut from = last.height;
    while from.saturating_add(1) < above {
        let middle = from.midpoint(above);
        let block = at(middle).await?;
        if block.time < time {
            (from, last) = (middle, block);
        } else {
            above = block.height;
        }
    }
    Ok(Some(last))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use super::*;

    /// Blocks at every third height, one in six seconds but for pauses.
    fn chain() -> Vec<ChainPoint> {
        let time = |height: u64| {
            Timestamp(
                height
                    .saturating_mul(2)
                    .saturating_add((height / 50).saturating_mul(1_000)),
            )
        };
        let heights = (0..1_500).step_by(3);
        heights
            .map(|height| ChainPoint {
                height,
                hash: format!("0x{height}"),
                time: time(height),
            })
            .collect()
    }

    #[tokio::test]
    async fn the_last_block_before_any_time_is_found_in_few_steps() {
        let chain = chain();
        let newest = chain.last().unwrap();
        for time in (0..newest.time.0 + 5).step_by(7).map(Timestamp) {
            let asked = Cell::new(0);
            let at = |height: u64| {
                asked.set(asked.get() + 1);
                let block = chain.iter().rfind(|it| it.height <= height).unwrap();
                ready(Ok::<_, ()>(block.clone()))
            };
            let found = last_before(time, newest.clone(), at).await.unwrap();
            assert_eq!(found.as_ref(), chain.iter().rfind(|it| it.time < time), "{time:?}");
            assert!(asked.get() <= 24, "{time:?}: {} steps", asked.get());
        }
    }
}

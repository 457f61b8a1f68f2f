//! What an endpoint shows that lies or has lost its way.

use facilitator::domain::amount::Amount;
use facilitator::domain::rail::{ChainPoint, Mined, Observation, Sighting, TxId, Watched};
use facilitator::domain::settlement::{CannotLand, Landed, Setback};
use facilitator::domain::time::Timestamp;

use crate::dice::Dice;

/// Some payments are shown as landed in a block that nobody has made, some as proven never to land, some as set back, and
/// some not at all.
pub(crate) fn lie(sighting: &mut Sighting, watched: &[Watched<'_>], dice: &mut Dice) {
    let block = ChainPoint {
        height: sighting.head,
        hash: "made up".into(),
        time: Timestamp(0),
    };
    for it in watched {
        let tx = it.txs.last().cloned().unwrap_or_else(|| TxId("made up".into()));
        let shown = match dice.below(5) {
            0 => Observation::Unseen { head: sighting.head },
            1 => Observation::Landed(Landed {
                tx: tx.clone(),
                log_index: 0,
                block: block.clone(),
                is_deep_enough: true,
                is_final: dice.chance(500),
            }),
            2 => Observation::CannotLand(CannotLand::WindowClosed { block: block.clone() }),
            3 => Observation::SetBack {
                setback: Setback::Reverted { tx: tx.clone() },
                shared: dice.chance(500),
            },
            _ => continue,
        };
        sighting.mined.retain(|mined| !it.txs.contains(&mined.tx));
        // Each once: a node is asked about a transaction, not about what it carries.
        match &shown {
            Observation::Landed(_) | Observation::SetBack { .. } if !sighting.mined.iter().any(|it| it.tx == tx) => {
                sighting.mined.push(Mined {
                    tx,
                    block: block.clone(),
                    cost: Amount::from_units(1),
                });
            }
            Observation::CannotLand(_) if !sighting.dead.contains(&tx) => sighting.dead.push(tx),
            Observation::Landed(_)
            | Observation::CannotLand(_)
            | Observation::SetBack { .. }
            | Observation::Unseen { .. }
            | Observation::Stranded => {}
        }
        sighting.payments.insert(it.payment, shown);
    }
}

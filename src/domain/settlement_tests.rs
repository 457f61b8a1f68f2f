//! The settlement table, pair by pair: every state against everything the chain can show, and against every event.

use super::*;

const WINDOW: Window = Window::Time {
    after: Timestamp(0),
    before: Timestamp(1000),
};
const OPEN: Timestamp = Timestamp(500);
const CLOSED: Timestamp = Timestamp(1000);

fn tx(name: &str) -> TxId {
    TxId(name.into())
}

fn block(height: u64) -> ChainPoint {
    ChainPoint {
        height,
        hash: format!("block {height}"),
        time: Timestamp(height),
    }
}

fn landed(is_deep_enough: bool, is_final: bool) -> Landed {
    Landed {
        tx: tx("ours"),
        log_index: 1,
        block: block(10),
        is_deep_enough,
        is_final,
    }
}

fn elsewhere() -> Landed {
    Landed {
        block: block(11),
        ..landed(true, false)
    }
}

fn by_another() -> Landed {
    Landed {
        tx: tx("theirs"),
        ..landed(true, false)
    }
}

fn reverted() -> Setback {
    Setback::Reverted { tx: tx("ours") }
}

fn closed() -> CannotLand {
    CannotLand::WindowClosed { block: block(20) }
}

fn in_flight() -> Settlement {
    Settlement::InFlight {
        tx: tx("ours"),
        setback: None,
    }
}

fn set_back() -> Settlement {
    Settlement::InFlight {
        tx: tx("ours"),
        setback: Some(reverted()),
    }
}

fn confirmed() -> Settlement {
    Settlement::Confirmed {
        landed: landed(true, false),
        tx: Some(tx("ours")),
    }
}

fn every_state() -> [Settlement; 7] {
    [
        Settlement::Reserved,
        in_flight(),
        set_back(),
        confirmed(),
        Settlement::Final {
            landed: landed(true, true),
        },
        Settlement::Failed { proof: closed() },
        Settlement::Withdrawn,
    ]
}

#[test]
fn what_to_do_next_follows_from_state_and_chain() {
    use Observation as Seen;
    let shallow = Seen::Landed(landed(false, false));
    let deep = Seen::Landed(landed(true, false));
    let last = Seen::Landed(landed(true, true));
    let moved = Seen::Landed(elsewhere());
    let cannot = Seen::CannotLand(closed());
    let alone = Seen::SetBack {
        setback: reverted(),
        shared: false,
    };
    let shared = Seen::SetBack {
        setback: reverted(),
        shared: true,
    };
    let behind = Seen::Unseen { head: 9 };
    let unseen = Seen::Unseen { head: 10 };
    let stranded = Seen::Stranded;

    let confirm = || Step::Record(Event::Confirmed(landed(true, false)));
    let confirm_last = || Step::Record(Event::Confirmed(landed(true, true)));
    let late = || Step::Record(Event::LateSettled(landed(true, false)));
    let late_last = || Step::Record(Event::LateSettled(landed(true, true)));
    let late_moved = || Step::Record(Event::LateSettled(elsewhere()));
    let confirm_moved = || Step::Record(Event::Confirmed(elsewhere()));
    let fail = || Step::Record(Event::Failed(closed()));
    let note = || Step::Record(Event::SetBack(reverted()));
    let reverse = || Step::Record(Event::Reversed);
    let sign = || Step::Sign { alone: false };
    let again = || Step::Sign { alone: true };
    let finalize = || Step::Record(Event::Finalized(landed(true, true)));
    let wait = || Step::Wait;
    let stop = || Step::Stop;

    #[rustfmt::skip]
    let table = [
        //            reserved          in flight         set back          confirmed  final/failed/withdrawn
        (&shallow,  [wait(),           wait(),           wait(),           wait(),    stop()]),
        (&deep,     [confirm(),        confirm(),        late(),           wait(),    stop()]),
        (&last,     [confirm_last(),   confirm_last(),   late_last(),      finalize(), stop()]),
        (&moved,    [confirm_moved(),  confirm_moved(),  late_moved(),     reverse(), stop()]),
        (&cannot,   [fail(),           fail(),           fail(),           reverse(), stop()]),
        (&alone,    [wait(),           note(),           wait(),           reverse(), stop()]),
        (&shared,   [wait(),           again(),          wait(),           reverse(), stop()]),
        (&behind,   [sign(),           wait(),           wait(),           wait(),    stop()]),
        (&stranded, [wait(),           again(),          wait(),           wait(),    stop()]),
        (&unseen,   [sign(),           wait(),           wait(),           reverse(), stop()]),
    ];
    for (seen, [reserved, flying, back, confirm, over]) in table {
        let expected = [reserved, flying, back, confirm, over.clone(), over.clone(), over];
        for (state, step) in every_state().iter().zip(expected) {
            assert_eq!(next_step(state, seen, WINDOW, OPEN), step, "{state:?} and {seen:?}");
        }
    }
}

#[test]
fn nothing_is_signed_once_the_window_has_closed_and_nothing_is_failed_for_it_either() {
    let unseen = Observation::Unseen { head: 10 };
    assert_eq!(next_step(&Settlement::Reserved, &unseen, WINDOW, CLOSED), Step::Wait);
    assert_eq!(
        next_step(&in_flight(), &Observation::Stranded, WINDOW, CLOSED),
        Step::Wait
    );
    let shared = Observation::SetBack {
        setback: reverted(),
        shared: true,
    };
    assert_eq!(
        next_step(&in_flight(), &shared, WINDOW, CLOSED),
        Step::Record(Event::SetBack(reverted()))
    );
}

#[test]
fn each_event_follows_only_the_states_it_may() {
    let to_flight = || Some(in_flight());
    let to_confirmed = |tx| {
        Some(Settlement::Confirmed {
            landed: by_another(),
            tx,
        })
    };
    let to_failed = || Some(Settlement::Failed { proof: closed() });

    #[rustfmt::skip]
    let table = [
        //                                reserved             in flight                    set back                     confirmed    final  failed withdrawn
        (Event::Signed(tx("ours")),      [to_flight(),         to_flight(),                 to_flight(),                 None,        None,  None,  None]),
        (Event::SetBack(reverted()),     [None,                Some(set_back()),            Some(set_back()),            None,        None,  None,  None]),
        (Event::Confirmed(by_another()), [to_confirmed(None),  to_confirmed(Some(tx("ours"))), None,                     None,        None,  None,  None]),
        (Event::LateSettled(by_another()), [None,              None,                        to_confirmed(Some(tx("ours"))), None,     None,  None,  None]),
        (Event::Reversed,                [None,                None,                        None,                        to_flight(), None,  None,  None]),
        (Event::Finalized(landed(true, true)), [None,          None,                        None,
                                          Some(Settlement::Final { landed: landed(true, true) }),                                     None,  None,  None]),
        (Event::Failed(closed()),        [to_failed(),         to_failed(),                 to_failed(),                 None,        None,  None,  None]),
        (Event::Withdrawn,               [Some(Settlement::Withdrawn), None,                None,                        None,        None,  None,  None]),
        (Event::Reopened,                [None,                None,                        None,                        None,        None,  None,  Some(Settlement::Reserved)]),
    ];
    for (event, expected) in table {
        for (state, next) in every_state().into_iter().zip(expected) {
            let name = format!("{state:?} and {event:?}");
            assert_eq!(apply(state, &event).ok(), next, "{name}");
        }
    }
}

#[test]
fn a_foreign_landing_that_is_reorganized_away_before_we_signed_is_reserved_again() {
    let confirmed = apply(Settlement::Reserved, &Event::Confirmed(by_another())).unwrap();
    assert_eq!(apply(confirmed, &Event::Reversed), Ok(Settlement::Reserved));
}

#[test]
fn whatever_is_recorded_can_be_applied() {
    let observations = [
        Observation::Landed(landed(false, false)),
        Observation::Landed(landed(true, true)),
        Observation::Landed(elsewhere()),
        Observation::CannotLand(closed()),
        Observation::SetBack {
            setback: reverted(),
            shared: true,
        },
        Observation::SetBack {
            setback: Setback::TransferMissing { tx: tx("ours") },
            shared: false,
        },
        Observation::Unseen { head: 30 },
        Observation::Stranded,
    ];
    for state in every_state() {
        for seen in &observations {
            for now in [OPEN, CLOSED] {
                if let Step::Record(event) = next_step(&state, seen, WINDOW, now) {
                    assert!(apply(state.clone(), &event).is_ok(), "{state:?} and {event:?}");
                }
            }
        }
    }
}

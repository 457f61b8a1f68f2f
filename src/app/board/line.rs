//! Who is next: what waits, taken from those it belongs to in turn, and of each in the order in which it came.
//!
//! Whoever has ten thousand waiting thus delays anybody else's by one turn. Holds nothing twice, and nobody of whom nothing
//! waits, so that it is never longer than what there is to wait.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::mem;

/// Items `T` that wait, each belonging to an owner `O`.
pub(super) struct Line<O, T> {
    /// The owners of what waits, whose turn is next first. Few wait at once, so that one is found by looking at each.
    turns: VecDeque<Turn<O, T>>,
    /// All that waits.
    known: HashSet<T>,
}

/// What to do with an item whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// It leaves the line, and it is the next owner's turn.
    Take,
    /// It leaves the line, and is the last that does.
    TakeLast,
    /// It stays where it is.
    Pass,
    /// It leaves the line without having been anybody's turn.
    Drop,
}

/// What one owner has in line, oldest first.
struct Turn<O, T> {
    owner: O,
    /// What was offered already, and did not fit.
    passed: VecDeque<T>,
    rest: VecDeque<T>,
    is_served: bool,
}

impl<O: Copy + Eq, T: Copy + Eq + Hash> Line<O, T> {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self {
            turns: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// All that wait, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.known.iter()
    }

    /// Puts the item behind its owner's others, unless it stands in line already.
    pub(super) fn push(&mut self, owner: O, item: T) {
        if !self.known.insert(item) {
            return;
        }
        match self.turns.iter_mut().find(|it| it.owner == owner) {
            Some(turn) => turn.rest.push_back(item),
            None => self.turns.push_back(Turn {
                owner,
                passed: VecDeque::new(),
                rest: VecDeque::from([item]),
                is_served: false,
            }),
        }
    }

    /// Offers what waits, of each owner in turn until one of its items is taken, and so on until the last is taken or
    /// everything was offered. Whoever was served stands behind the others from now on; of whom nothing fitted keeps the
    /// place, and is the first to be offered from at the next call.
    pub(super) fn take(&mut self, mut choose: impl FnMut(T) -> Choice) {
        let mut offering = mem::take(&mut self.turns);
        let mut ended = VecDeque::new();
        while let Some(mut turn) = offering.pop_front() {
            match self.offer(&mut turn, &mut choose) {
                Some(Choice::TakeLast) => {
                    offering.push_back(turn);
                    break;
                }
                Some(_) => offering.push_back(turn),
                None => ended.push_back(turn),
            }
        }
        ended.append(&mut offering);
        // Both in the order of their turns: the unserved in that of this call's first round, the others in that of their last.
        let (served, unserved): (VecDeque<_>, VecDeque<_>) = ended.into_iter().partition(|it| it.is_served);
        let stays = unserved.into_iter().chain(served).map(Turn::over);
        self.turns = stays.filter(|it| !it.rest.is_empty()).collect();
    }

    /// What became of the owner's turn; none when nothing of it was taken.
    fn offer(&mut self, turn: &mut Turn<O, T>, choose: &mut impl FnMut(T) -> Choice) -> Option<Choice> {
        while let Some(item) = turn.rest.pop_front() {
            let choice = choose(item);
            if choice == Choice::Pass {
                turn.passed.push_back(item);
                continue;
            }
            self.known.remove(&item);
            if choice != Choice::Drop {
                turn.is_served = true;
                return Some(choice);
            }
        }
        None
    }
}

impl<O, T> Turn<O, T> {
    fn over(mut self) -> Self {
        self.passed.append(&mut self.rest);
        Self {
            rest: self.passed,
            passed: VecDeque::new(),
            is_served: false,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each item is its owner's letter and its number among them.
    type Item = (char, u32);

    fn line(items: &str) -> Line<char, Item> {
        let mut line = Line::new();
        for (owner, number) in items.split_whitespace().map(read) {
            line.push(owner, (owner, number));
        }
        line
    }

    fn read(item: &str) -> Item {
        let (owner, number) = item.split_at(1);
        (owner.chars().next().unwrap(), number.parse().unwrap())
    }

    fn written(items: &[Item]) -> String {
        let items: Vec<String> = items.iter().map(|(owner, number)| format!("{owner}{number}")).collect();
        items.join(" ")
    }

    /// As many as this of what fits.
    fn taken(line: &mut Line<char, Item>, count: usize, fits: impl Fn(Item) -> bool) -> Vec<Item> {
        let mut taken = Vec::new();
        line.take(|item| {
            if !fits(item) {
                return Choice::Pass;
            }
            taken.push(item);
            if taken.len() < count {
                Choice::Take
            } else {
                Choice::TakeLast
            }
        });
        taken
    }

    #[test]
    fn owners_take_turns_and_each_ones_own_keep_their_order() {
        for (waiting, batch, batches) in [
            ("", 2, vec![""]),
            ("a1 a2 a3 a4 a5", 2, vec!["a1 a2", "a3 a4", "a5", ""]),
            ("a1 a2 a3 b1", 1, vec!["a1", "b1", "a2", "a3", ""]),
            ("a1 a2 a3 a4 b1", 2, vec!["a1 b1", "a2 a3", "a4"]),
            ("a1 a2 a3 b1 b2 c1", 4, vec!["a1 b1 c1 a2", "b2 a3", ""]),
            ("a1 b1 c1 a2 b2 c2", 2, vec!["a1 b1", "c1 a2", "b2 c2", ""]),
            ("a1 a1 b1 a1", 9, vec!["a1 b1", ""]),
        ] {
            let mut line = line(waiting);
            for expected in batches {
                assert_eq!(written(&taken(&mut line, batch, |_| true)), expected, "{waiting}");
            }
        }
    }

    #[test]
    fn whose_did_not_fit_keeps_the_place_and_is_first_at_the_next_turn() {
        let mut line = line("a1 a2 a3 a4 b1 b2 c1");
        assert_eq!(written(&taken(&mut line, 2, |(owner, _)| owner == 'a')), "a1 a2");
        assert_eq!(written(&taken(&mut line, 1, |_| true)), "b1");
        assert_eq!(written(&taken(&mut line, 9, |_| true)), "c1 a3 b2 a4");
        assert_eq!(line.len(), 0);
    }

    #[test]
    fn what_is_passed_over_stays_ahead_of_what_came_later() {
        let mut line = line("a1 a2 a3 a4 a5");
        assert_eq!(written(&taken(&mut line, 2, |(_, number)| number % 2 == 0)), "a2 a4");
        line.push('a', ('a', 6));
        assert_eq!(written(&taken(&mut line, 9, |_| true)), "a1 a3 a5 a6");
    }

    #[test]
    fn what_is_dropped_is_nobodys_turn_and_may_come_again() {
        let mut line = line("a1 a2 b1");
        let mut offered = Vec::new();
        line.take(|item| {
            offered.push(item);
            if item == ('a', 1) { Choice::Drop } else { Choice::Take }
        });
        assert_eq!(written(&offered), "a1 a2 b1");
        assert_eq!((line.len(), line.turns.len()), (0, 0));
        line.push('a', ('a', 1));
        assert_eq!(written(&taken(&mut line, 1, |_| true)), "a1");
    }

    #[test]
    fn a_flood_delays_nobody_else_by_more_than_one_turn() {
        const FLOOD: u32 = 10_000;
        for batch in [1, 7, 50] {
            let mut line = Line::new();
            for number in 0..FLOOD {
                line.push('a', ('a', number));
            }
            taken(&mut line, batch, |_| true);
            for number in 0..100 {
                line.push('b', ('b', number));
                let turns = taken(&mut line, 2.max(batch), |_| true);
                assert!(turns.contains(&('b', number)), "{batch}");
            }
        }
    }
}

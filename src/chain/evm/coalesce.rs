//! Lets concurrent verifications share calls to the node, without making a lone one wait.
//!
//! With nothing under way a question leaves at once and alone. Otherwise it waits with the others until a call
//! returns, or 1 ms from when the first of them began to wait: so the slower the node, the more of them share a
//! call. Questions of strangers travel together, so one that spoils a call is asked again alone and takes nobody
//! down with it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::lens::{self, Answer, Finding, Question};
use super::reader::Reader;
use crate::domain::rail::RailFault;
use crate::task::Tasks;

/// How many questions one call carries at most. A usual one takes 81,000 gas, and four million for all is well
/// below what nodes allow a call (geth: 50 million).
const QUESTIONS_MAX: usize = 50;

/// How many calls are under way at most.
const CALLS_MAX: usize = 6;

/// How many questions wait at most: at 50 a call and 6 calls at once, some fourteen round trips' worth.
const WAITING_MAX: usize = 4_096;

/// How long a question waits for company at most, when nothing else sends it off.
const PATIENCE: Duration = Duration::from_millis(1);

/// Sends questions to one network's node.
#[derive(Debug, Clone)]
pub(super) struct Coalescer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    reader: Reader,
    tasks: Tasks,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    under_way: usize,
    /// Somebody has set out to send the waiting off in time.
    is_timed: bool,
}

struct Waiting {
    question: Question,
    reply: oneshot::Sender<Result<Finding, RailFault>>,
    /// It goes by itself: it deploys, or was in a call that failed.
    alone: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting.len())
            .field("under_way", &self.under_way)
            .finish_non_exhaustive()
    }
}

impl Coalescer {
    /// Asks through this reader; calls run as tasks of this group, so that a caller who hangs up does not end
    /// the others' call.
    pub(super) fn new(reader: Reader, tasks: Tasks) -> Self {
        let shared = Shared {
            reader,
            tasks,
            queue: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How the node is asked.
    pub(super) fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    /// What the chain shows of one payment.
    ///
    /// # Errors
    /// The chain could not be asked, too many are waiting, or the node has too little gas even for this question
    /// alone.
    pub(super) async fn ask(&self, question: Question) -> Result<Finding, RailFault> {
        let (reply, answer) = oneshot::channel();
        let alone = question.deploys;
        self.shared.admit(Waiting { question, reply, alone })?;
        answer
            .await
            .unwrap_or_else(|_| Err(self.shared.fault("the question was lost")))
    }
}

impl Shared {
    fn fault(&self, cause: &str) -> RailFault {
        self.reader.rpc().fault("inspect", cause)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while holding it, and the queue is sound between any two statements that do.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, waiting: Waiting) -> Result<(), RailFault> {
        let mut queue = self.queue();
        if queue.waiting.len() >= WAITING_MAX {
            return Err(self.fault("overloaded: too many payments wait to be verified"));
        }
        queue.waiting.push_back(waiting);
        if queue.under_way == 0 {
            drop(queue);
            self.send_off();
        } else if !queue.is_timed {
            queue.is_timed = true;
            drop(queue);
            let shared = Arc::clone(self);
            self.tasks.spawn("inspect timer", async move {
                tokio::time::sleep(PATIENCE).await;
                shared.queue().is_timed = false;
                shared.send_off();
            });
        }
        Ok(())
    }

    /// Sends off whoever is waiting, as far as calls may be under way.
    fn send_off(self: &Arc<Self>) {
        loop {
            let group = {
                let mut queue = self.queue();
                if queue.under_way >= CALLS_MAX {
                    return;
                }
                let group = queue.take();
                if group.is_empty() {
                    return;
                }
                queue.under_way = queue.under_way.saturating_add(1);
                group
            };
            let seat = Seat(Arc::clone(self));
            self.tasks.spawn("inspect", async move {
                seat.0.carry(group).await;
                drop(seat);
            });
        }
    }

    /// Asks for the group and hands each its answer, or has it asked again alone.
    async fn carry(self: &Arc<Self>, group: Vec<Waiting>) {
        let questions: Vec<&Question> = group.iter().map(|waiting| &waiting.question).collect();
        let outcome = self.reader.read(&questions).await;
        let was_alone = group.len() == 1;
        let answers: Box<dyn Iterator<Item = Result<Answer, RailFault>> + Send> = match outcome {
            Ok(answers) => Box::new(answers.into_iter().map(Ok)),
            Err(fault) => Box::new(std::iter::repeat_with(move || Err(fault.clone()))),
        };
        let mut again = Vec::new();
        for (waiting, answer) in group.into_iter().zip(answers) {
            let outcome = match answer {
                Ok(Some(finding)) => Ok(finding),
                Ok(None) | Err(_) if !was_alone => {
                    again.push(Waiting { alone: true, ..waiting });
                    continue;
                }
                Ok(None) => Err(self.fault("the node gives one call too little gas to examine a payment")),
                Err(fault) => Err(fault),
            };
            // Nobody is there any more: the caller hung up.
            drop(waiting.reply.send(outcome));
        }
        if !again.is_empty() {
            self.queue().waiting.extend(again);
        }
    }
}

impl Queue {
    /// The next ones to go in one call; none when nobody waits.
    fn take(&mut self) -> Vec<Waiting> {
        let mut group: Vec<Waiting> = Vec::new();
        let mut room = lens::room();
        while let Some(next) = self.waiting.front() {
            let goes_along =
                group.is_empty() || (!next.alone && next.question.bytes() <= room && group.len() < QUESTIONS_MAX);
            if !goes_along {
                break;
            }
            let Some(next) = self.waiting.pop_front() else { break };
            if next.reply.is_closed() {
                continue;
            }
            room = room.saturating_sub(next.question.bytes());
            let alone = next.alone;
            group.push(next);
            if alone {
                break;
            }
        }
        group
    }
}

/// A call's place among those under way; given up however the call ends.
struct Seat(Arc<Shared>);

impl Drop for Seat {
    fn drop(&mut self) {
        {
            let mut queue = self.0.queue();
            queue.under_way = queue.under_way.saturating_sub(1);
        }
        self.0.send_off();
    }
}

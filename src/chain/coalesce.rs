//! Lets concurrent verifications share calls to the node, without making a lone one wait. What is asked, and how, is
//! the family's to say ([`Read`]).
//!
//! With nothing under way a question leaves at once and alone. Otherwise it waits with the others until a call
//! returns, or 1 ms from when the first of them began to wait: so the slower the node, the more of them share a
//! call. Questions of strangers travel together, so one that spoils a call is asked again alone and takes nobody
//! down with it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::domain::rail::RailFault;
use crate::task::Tasks;

/// How many calls are under way at most.
const CALLS_MAX: usize = 6;

/// How many questions wait at most: at 50 a call and 6 calls at once, some fourteen round trips' worth.
const WAITING_MAX: usize = 4_096;

/// How long a question waits for company at most, when nothing else sends it off.
const PATIENCE: Duration = Duration::from_millis(1);

/// How one network's node is asked about several payments at once.
pub(super) trait Read: fmt::Debug + Send + Sync + 'static {
    /// What is asked about one payment.
    type Question: Send + Sync + 'static;
    /// What the chain shows of one payment.
    type Finding: Send + 'static;

    /// How many questions one call carries at most; at least 1.
    const QUESTIONS_MAX: usize;

    /// What a missing finding means for a question that was asked alone.
    const UNANSWERED: &'static str;

    /// How much of a call's room the question takes, in the reader's own unit.
    fn size(&self, question: &Self::Question) -> usize;

    /// How much room a call has, in that unit.
    fn room(&self) -> usize;

    /// The question must not share a call.
    fn goes_alone(&self, question: &Self::Question) -> bool;

    /// One finding for each question, in their order; none for one that the call was too small for.
    ///
    /// # Errors
    /// The chain could not be asked; nothing is known about any of them.
    fn read(
        &self,
        questions: &[&Self::Question],
    ) -> impl Future<Output = Result<Vec<Option<Self::Finding>>, RailFault>> + Send;

    /// A fault in the asking; `cause` says what went wrong.
    fn fault(&self, cause: &str) -> RailFault;
}

/// Sends questions to one network's node.
#[derive(Debug)]
pub(super) struct Coalescer<R: Read> {
    shared: Arc<Shared<R>>,
}

#[derive(Debug)]
struct Shared<R: Read> {
    reader: R,
    tasks: Tasks,
    queue: Mutex<Queue<R>>,
}

struct Queue<R: Read> {
    waiting: VecDeque<Waiting<R>>,
    under_way: usize,
    /// Somebody has set out to send the waiting off in time.
    is_timed: bool,
}

struct Waiting<R: Read> {
    question: R::Question,
    reply: oneshot::Sender<Result<R::Finding, RailFault>>,
    /// It goes by itself: it must, or it was in a call that failed.
    alone: bool,
}

impl<R: Read> fmt::Debug for Queue<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("waiting", &self.waiting.len())
            .field("under_way", &self.under_way)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Coalescer<R> {
    /// Asks through this reader; calls run as tasks of this group, so that a caller who hangs up does not end
    /// the others' call.
    pub(super) fn new(reader: R, tasks: Tasks) -> Self {
        let shared = Shared {
            reader,
            tasks,
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                under_way: 0,
                is_timed: false,
            }),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// How the node is asked.
    pub(super) fn reader(&self) -> &R {
        &self.shared.reader
    }

    /// What the chain shows of one payment.
    ///
    /// # Errors
    /// The chain could not be asked, too many are waiting, or a call is too small even for this question alone.
    pub(super) async fn ask(&self, question: R::Question) -> Result<R::Finding, RailFault> {
        let (reply, answer) = oneshot::channel();
        let alone = self.shared.reader.goes_alone(&question);
        self.shared.admit(Waiting { question, reply, alone })?;
        answer
            .await
            .unwrap_or_else(|_| Err(self.shared.reader.fault("the question was lost")))
    }
}

impl<R: Read> Shared<R> {
    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        // Nothing panics while holding it, and the queue is sound between any two statements that do.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, waiting: Waiting<R>) -> Result<(), RailFault> {
        let mut queue = self.queue();
        if queue.waiting.len() >= WAITING_MAX {
            return Err(self.reader.fault("overloaded: too many payments wait to be verified"));
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
                let group = queue.take(&self.reader);
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
    async fn carry(self: &Arc<Self>, group: Vec<Waiting<R>>) {
        let questions: Vec<&R::Question> = group.iter().map(|waiting| &waiting.question).collect();
        let outcome = self.reader.read(&questions).await;
        let was_alone = group.len() == 1;
        let answers: Box<dyn Iterator<Item = Result<Option<R::Finding>, RailFault>> + Send> = match outcome {
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
                Ok(None) => Err(self.reader.fault(R::UNANSWERED)),
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

impl<R: Read> Queue<R> {
    /// The next ones to go in one call; none when nobody waits.
    fn take(&mut self, reader: &R) -> Vec<Waiting<R>> {
        let mut group: Vec<Waiting<R>> = Vec::new();
        let mut room = reader.room();
        while let Some(next) = self.waiting.front() {
            let size = reader.size(&next.question);
            let goes_along = group.is_empty() || (!next.alone && size <= room && group.len() < R::QUESTIONS_MAX);
            if !goes_along {
                break;
            }
            let Some(next) = self.waiting.pop_front() else { break };
            if next.reply.is_closed() {
                continue;
            }
            room = room.saturating_sub(size);
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
struct Seat<R: Read>(Arc<Shared<R>>);

impl<R: Read> Drop for Seat<R> {
    fn drop(&mut self) {
        {
            let mut queue = self.0.queue();
            queue.under_way = queue.under_way.saturating_sub(1);
        }
        self.0.send_off();
    }
}

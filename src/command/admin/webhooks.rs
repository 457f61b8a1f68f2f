//! `facilitator admin webhooks`: who is told of what happens, and what became of it.

use std::error::Error;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::value::to_raw_value;

use super::Signed;
use super::operation::office;
use crate::app::SystemClock;
use crate::app::webhooks::Post;
use crate::config::Config;
use crate::domain::event::{Event, EventId, KINDS, WEBHOOK_TEST};
use crate::domain::id::{EndpointId, NoticeId};
use crate::domain::tenant::TenantId;
use crate::domain::time::Clock;
use crate::export::csv::{escape, rfc3339};
use crate::outbound::Outbound;
use crate::store::{DateTime, Deed, Endpoint, Place, Store, Utc};

/// For how long the secret before signs too after a rotation, if nothing else is said.
const OVERLAP_HOURS: u32 = 24;

/// How many deliveries are listed.
const LISTED: u16 = 100;

const ENDPOINT_COLUMNS: &str = "id,url,types,created_at,disabled_because,waiting,waiting_since";
const DELIVERY_COLUMNS: &str = "event,type,state,attempts,outcome,due_at,ended_at";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Tell an endpoint of what happens from now on; prints its id, its secret and the public key that signs for us.
    Add {
        /// Where it is: https.
        #[arg(long)]
        url: String,
        /// Types of events, with commas between them; all, if it is not given.
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        /// Tell it of this tenant's alone; of everything, if it is not given.
        #[arg(long)]
        tenant: Option<TenantId>,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// List the endpoints as CSV.
    List,
    /// Print an endpoint's secrets and public keys, the newest first.
    Show(Which),
    /// Give an endpoint a new secret; the old one signs too for a while.
    Rotate {
        /// Whose.
        #[command(flatten)]
        which: Which,
        /// For how many hours the old secret signs too.
        #[arg(long, default_value_t = OVERLAP_HOURS)]
        overlap_hours: u32,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// Tell an endpoint no more. What happens meanwhile waits.
    Disable(Changed),
    /// Tell an endpoint again, beginning where it was left.
    Enable(Changed),
    /// Forget an endpoint and its deliveries.
    Remove(Changed),
    /// Send an endpoint an event that is none, and print what it says.
    Test(Which),
    /// List an endpoint's newest deliveries as CSV.
    Deliveries {
        /// Whose.
        #[command(flatten)]
        which: Which,
        /// Only those in this state: pending, delivered or given_up.
        #[arg(long)]
        state: Option<String>,
    },
    /// Deliver again.
    Replay {
        /// Whose.
        #[command(flatten)]
        which: Which,
        /// What of it.
        #[command(flatten)]
        what: Again,
    },
}

/// Which endpoint.
#[derive(Debug, Args)]
pub struct Which {
    /// Its id.
    #[arg(value_name = "ENDPOINT")]
    id: EndpointId,
}

/// Which endpoint is changed, by whom and why.
#[derive(Debug, Args)]
pub struct Changed {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    signed: Signed,
}

/// What to deliver again.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Again {
    /// This event.
    #[arg(long, value_name = "EVENT")]
    event: Option<EventId>,
    /// All that was given up.
    #[arg(long)]
    given_up: bool,
    /// All that comes after this cursor of /v1/events.
    #[arg(long, value_name = "CURSOR")]
    after: Option<Place>,
}

/// Does it.
///
/// # Errors
/// There is no such endpoint, what is asked for cannot be done, or the database cannot be reached.
pub(super) async fn webhooks(config: Config, store: Store, what: Webhooks) -> Result<(), Box<dyn Error>> {
    let signing = config
        .signing
        .ok_or("webhooks are signed: the configuration needs [signing]")?;
    let outbound = Outbound::new(config.webhooks.allow_private)?;
    let desk = Desk {
        post: Post::new(outbound.clone(), signing.secret),
        outbound,
        store,
    };
    desk.serve(what).await
}

struct Desk {
    store: Store,
    outbound: Outbound,
    post: Post,
}

impl Desk {
    async fn serve(&self, what: Webhooks) -> Result<(), Box<dyn Error>> {
        match what {
            Webhooks::Add {
                url,
                types,
                tenant,
                signed,
            } => self.add(&url, &types, tenant, &signed.deed()?).await,
            Webhooks::List => self.list().await,
            Webhooks::Show(which) => self.show(which.id).await,
            Webhooks::Rotate {
                which,
                overlap_hours,
                signed,
            } => {
                let overlap = Duration::from_hours(overlap_hours.into());
                known(self.store.endpoint_rotate(which.id, overlap, &signed.deed()?).await?)?;
                self.show(which.id).await
            }
            Webhooks::Disable(it) => self.turn(it, false).await,
            Webhooks::Enable(it) => self.turn(it, true).await,
            Webhooks::Remove(it) => known(self.store.endpoint_remove(it.which.id, &it.signed.deed()?).await?),
            Webhooks::Test(which) => self.test(which.id).await,
            Webhooks::Deliveries { which, state } => self.deliveries(which.id, state.as_deref()).await,
            Webhooks::Replay { which, what } => self.replay(which.id, what).await,
        }
    }

    async fn get(&self, id: EndpointId) -> Result<Endpoint, Box<dyn Error>> {
        Ok(self.store.endpoint_get(id).await?.ok_or(NONE)?)
    }

    async fn turn(&self, it: Changed, on: bool) -> Result<(), Box<dyn Error>> {
        let office = office(self.store.clone(), Vec::new());
        Ok(office.webhook_turn(it.which.id, on, &it.signed.deed()?).await?)
    }

    async fn add(
        &self,
        url: &str,
        types: &[String],
        tenant: Option<TenantId>,
        deed: &Deed,
    ) -> Result<(), Box<dyn Error>> {
        self.outbound.target(url).map_err(|unfit| format!("--url: {unfit}"))?;
        if let Some(unknown) = types.iter().find(|it| !KINDS.contains(&it.as_str())) {
            return Err(format!("--types: there is no {unknown}; there are {}", KINDS.join(", ")).into());
        }
        let added = self.store.endpoint_add(url, types, tenant, deed).await?;
        let id = added.ok_or("there are 100 endpoints already")?;
        println!("{id}");
        self.show(id).await
    }

    async fn list(&self) -> Result<(), Box<dyn Error>> {
        println!("{ENDPOINT_COLUMNS}");
        for it in self.store.endpoints_list().await? {
            let fields = [
                it.id.to_string(),
                it.url,
                it.kinds.join(" "),
                rfc3339(it.created_at),
                it.disabled_because.unwrap_or_default(),
                it.waiting.to_string(),
                it.waiting_since.map(rfc3339).unwrap_or_default(),
            ];
            println!("{}", fields.map(|it| escape(&it).into_owned()).join(","));
        }
        Ok(())
    }

    async fn show(&self, id: EndpointId) -> Result<(), Box<dyn Error>> {
        for keys in self.post.keys(&self.get(id).await?) {
            println!("{} {}", keys.secret(), keys.public());
        }
        Ok(())
    }

    async fn test(&self, id: EndpointId) -> Result<(), Box<dyn Error>> {
        let event = Event {
            id: EventId::Notice(NoticeId::mint()),
            kind: WEBHOOK_TEST.to_owned(),
            at: now(),
            data: to_raw_value(&serde_json::json!({"endpoint": id}))?,
        };
        let answer = self.post.send(&self.get(id).await?, &event).await?;
        println!("{} HTTP {}", event.id, answer.status);
        if (200..300).contains(&answer.status) {
            Ok(())
        } else {
            Err("the endpoint did not take it".into())
        }
    }

    async fn deliveries(&self, id: EndpointId, state: Option<&str>) -> Result<(), Box<dyn Error>> {
        let endpoint = self.get(id).await?;
        println!("{DELIVERY_COLUMNS}");
        for it in self.store.deliveries_list(endpoint.id, state, LISTED).await? {
            let (event, kind) = it.event.map(|it| (it.id.to_string(), it.kind)).unwrap_or_default();
            let is_pending = it.ended_at.is_none();
            let fields = [
                event,
                kind,
                it.state,
                it.attempts.to_string(),
                it.outcome.unwrap_or_default(),
                Some(it.due_at).filter(|_| is_pending).map(rfc3339).unwrap_or_default(),
                it.ended_at.map(rfc3339).unwrap_or_default(),
            ];
            println!("{}", fields.map(|it| escape(&it).into_owned()).join(","));
        }
        Ok(())
    }

    async fn replay(&self, id: EndpointId, what: Again) -> Result<(), Box<dyn Error>> {
        if let Some(event) = what.event {
            let is_there = self.store.delivery_replay(id, event).await?;
            return is_there
                .then_some(())
                .ok_or_else(|| "there is no such event or endpoint".into());
        }
        if let Some(after) = what.after {
            return known(self.store.endpoint_rewind(id, after).await?);
        }
        println!("{}", self.store.deliveries_replay_given_up(id).await?);
        Ok(())
    }
}

const NONE: &str = "there is no such endpoint, or nothing to change about it";

fn now() -> DateTime<Utc> {
    let seconds = i64::try_from(SystemClock.now().0).unwrap_or_default();
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn known(is_known: bool) -> Result<(), Box<dyn Error>> {
    is_known.then_some(()).ok_or_else(|| NONE.into())
}

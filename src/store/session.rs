//! What is asked of a session with the database, and the proof that it is given, whoever stands in between.
//!
//! A pooler in transaction mode serves each transaction by whichever of its sessions is free, and drops the options that
//! a client asks for as it connects. Nothing here outlives a transaction (no `set`, no `listen`, no advisory lock, no
//! temporary table) but two things: the limits, which such a database must have for the role; and prepared statements,
//! which the pooler must know of, since otherwise one process's statement may run under the name of another's.

use sqlx::postgres::PgConnectOptions;

use super::{Store, StoreFault};

/// Milliseconds that a session may at most take for a statement, for a lock, and between the statements of a transaction.
/// The last one frees a lane whose holder stopped mid-way.
const LIMITS: [(&str, i64); 3] = [
    ("statement_timeout", 5_000),
    ("lock_timeout", 3_000),
    ("idle_in_transaction_session_timeout", 10_000),
];

/// A setting of our own, which only a session has that was given our options.
const MARK: (&str, &str) = ("facilitator.direct", "on");

statements! {
    // In one transaction with its own preparation. Where nobody keeps statements for us, they have the driver's names.
    PROVE = "select
        (select min(wanted.name) from unnest($1::text[], $2::bigint[]) as wanted (name, most)
            join pg_settings s on s.name = wanted.name
            where s.setting::bigint not between 1 and wanted.most) as unlimited,
        coalesce(current_setting('facilitator.direct', true), '') = 'on' as is_direct,
        exists (select 1 from pg_prepared_statements where name like 'sqlx%') as has_drivers_names";
}

/// What a session lacks that every session must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionFlaw {
    /// A limit is missing or wider than ours.
    #[error("{0} is to be at most {1} ms for this role (alter role … set …), because the pooler drops our options")]
    Unlimited(&'static str, i64),
    /// The pooler lets statements of different processes have one name.
    #[error("the pooler keeps no prepared statements (PgBouncer does from 1.21 on, with max_prepared_statements)")]
    Statements,
    /// Tenants cannot be kept apart by the database.
    #[error(
        "tenants need the role facilitator_reader, which this role may neither make nor take on; docs/tenants.md has what to \
         grant"
    )]
    Reader,
}

/// The options of a session of ours.
pub(super) fn options(options: PgConnectOptions) -> PgConnectOptions {
    let limits = LIMITS.map(|(name, most)| (name, most.to_string()));
    options
        .application_name("facilitator")
        // Poolers refuse it, and no float is read as text.
        .extra_float_digits(None)
        .options(limits)
        .options([MARK])
}

#[derive(sqlx::FromRow)]
struct Proof {
    unlimited: Option<String>,
    is_direct: bool,
    has_drivers_names: bool,
}

impl Store {
    /// Insists that sessions have what they must have, whatever stands between us and the database.
    ///
    /// # Errors
    /// [`StoreFault::Session`] names what is missing; [`StoreFault::Unavailable`].
    pub(super) async fn session_check(&self) -> Result<(), StoreFault> {
        let operation = "session_check";
        let (names, most): (Vec<&str>, Vec<i64>) = LIMITS.into_iter().unzip();
        let mut transaction = self.begin(operation).await?;
        let proof: Proof = match sqlx::query_as(PROVE)
            .bind(names)
            .bind(most)
            .fetch_one(&mut *transaction)
            .await
        {
            Ok(proof) => proof,
            Err(error) if is_name_clash(&error) => return Err(StoreFault::Session(SessionFlaw::Statements)),
            Err(error) => return Err(StoreFault::reading(operation)(error)),
        };
        if !proof.is_direct && proof.has_drivers_names {
            return Err(StoreFault::Session(SessionFlaw::Statements));
        }
        let unlimited = LIMITS
            .into_iter()
            .find(|(name, _)| proof.unlimited.as_deref() == Some(*name));
        match unlimited {
            Some((name, most)) => Err(StoreFault::Session(SessionFlaw::Unlimited(name, most))),
            None => Ok(()),
        }
    }
}

/// Somebody else's statement has the name.
fn is_name_clash(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code == "42P05")
}

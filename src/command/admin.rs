//! `facilitator admin`: tenants, their merchants and accounts, the keys of their gateways, lanes, exceptions, webhooks, and the
//! log of who did what and why.

mod operation;
mod webhooks;

use std::error::Error;

use clap::{Args, Subcommand};

use crate::app::admin::{self, NAME_MAX, Wanted};
use crate::app::gate;
use crate::chain;
use crate::command::budgets::{Budgets, budgets};
use crate::config::Config;
use crate::domain::network::NetworkId;
use crate::domain::tenant::{KeyId, MerchantId, Restrictions, Scope, TenantId};
use crate::domain::token::PublicKey;
use crate::export::csv::{escape, rfc3339};
use crate::store::{Deed, Store};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Tenants: whose records are kept apart.
    Tenants {
        /// What.
        #[command(subcommand)]
        what: Tenants,
    },
    /// Merchants of a tenant.
    Merchants {
        /// What.
        #[command(subcommand)]
        what: Merchants,
    },
    /// The accounts at which merchants are paid, and nobody else is.
    Accounts {
        /// What.
        #[command(subcommand)]
        what: Accounts,
    },
    /// The keys of gateways.
    Keys {
        /// What.
        #[command(subcommand)]
        what: Keys,
    },
    /// What tenants' payments may cost and move.
    Budgets {
        /// What.
        #[command(subcommand)]
        what: Budgets,
    },
    /// Closed lanes of signers.
    Lanes {
        /// What.
        #[command(subcommand)]
        what: operation::Lanes,
    },
    /// What somebody has to look at.
    Exceptions {
        /// What.
        #[command(subcommand)]
        what: operation::Exceptions,
    },
    /// Who is told of what happens: endpoints, their secrets, what was delivered to them.
    Webhooks {
        /// What.
        #[command(subcommand)]
        what: webhooks::Webhooks,
    },
    /// Print who did what and why, one JSON object a line, or check that nothing of it was changed.
    Log {
        /// Print nothing but the newest hash; fail at the first entry that is not what was written.
        #[arg(long)]
        check: bool,
    },
}

/// Who does it, and why: kept in the log.
#[derive(Debug, Args)]
pub struct Signed {
    /// Who does it.
    #[arg(long)]
    by: String,
    /// Why.
    #[arg(long)]
    because: String,
}

/// What to do with tenants.
#[derive(Debug, Subcommand)]
pub enum Tenants {
    /// Add a tenant; prints its id.
    Add {
        /// What it is called: 1 to 100 characters, no other tenant's.
        #[arg(long)]
        name: String,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// List them as CSV.
    List,
}

/// What to do with merchants.
#[derive(Debug, Subcommand)]
pub enum Merchants {
    /// Add a merchant of a tenant; prints its id.
    Add {
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// What it is called: 1 to 100 characters.
        #[arg(long)]
        name: String,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// List them as CSV.
    List {
        /// Of this tenant alone.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

/// An account on a network.
#[derive(Debug, Args)]
pub struct Account {
    /// The network (CAIP-2).
    #[arg(long)]
    network: NetworkId,
    /// Its address.
    #[arg(long)]
    account: String,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum Accounts {
    /// Say that an account is a merchant's: from now on nobody else is paid there through us.
    Claim {
        /// Which.
        #[command(flatten)]
        account: Account,
        /// Whose.
        #[arg(long)]
        merchant: MerchantId,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// Say that an account is nobody's any more.
    Release {
        /// Which.
        #[command(flatten)]
        account: Account,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// List them as CSV.
    List {
        /// Of this tenant's merchants alone.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key; prints it, once and never again.
    Add {
        /// Whose.
        #[arg(long)]
        tenant: TenantId,
        /// Its payments have to be to this merchant's accounts.
        #[arg(long)]
        merchant: Option<MerchantId>,
        /// What it is called: 1 to 100 characters.
        #[arg(long)]
        name: String,
        /// What it is for: verify, settle, read, reports, admin, with commas between them.
        #[arg(long, value_delimiter = ',', required = true, value_parser = scope)]
        scopes: Vec<Scope>,
        /// Only for payments on these networks.
        #[arg(long, value_delimiter = ',')]
        networks: Vec<NetworkId>,
        /// Only for payments in these assets.
        #[arg(long, value_delimiter = ',')]
        assets: Vec<String>,
        /// Only for payments to these accounts.
        #[arg(long, value_delimiter = ',')]
        pay_to: Vec<String>,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// Let tokens for single requests stand for a key, signed by the owner of this public key; without one, none does.
    Vouch {
        /// Which.
        key: KeyId,
        /// An Ed25519 public key: 43 characters of base64url, the `x` of a JSON Web Key.
        #[arg(long)]
        public_key: Option<PublicKey>,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// Let nobody in with a key any more: within two seconds, at every process. What came in before goes on.
    Revoke {
        /// Which: the 26 digits after x402_, with key_ before them, as listed.
        key: KeyId,
        /// Who and why.
        #[command(flatten)]
        signed: Signed,
    },
    /// List them as CSV.
    List {
        /// Of this tenant alone.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

fn scope(text: &str) -> Result<Scope, String> {
    let names = || Scope::ALL.map(Scope::as_str).join(", ");
    Scope::named(text).ok_or_else(|| format!("expected some of {}", names()))
}

/// Does it.
///
/// # Errors
/// It cannot be done, or the database cannot be reached.
pub async fn admin(config: Config, what: AdminCommand) -> Result<(), Box<dyn Error>> {
    let store = Store::connect(&config.database).await?;
    store.schema_check().await?;
    match what {
        AdminCommand::Tenants { what } => tenants(&store, what).await,
        AdminCommand::Merchants { what } => merchants(&store, what).await,
        AdminCommand::Accounts { what } => accounts(&store, what).await,
        AdminCommand::Keys { what } => keys(&store, config.tenants, what).await,
        AdminCommand::Budgets { what } => budgets(&store, what).await,
        AdminCommand::Lanes { what } => operation::lanes(&config, store, what).await,
        AdminCommand::Exceptions { what } => operation::exceptions(&store, what).await,
        AdminCommand::Webhooks { what } => webhooks::webhooks(config, store, what).await,
        AdminCommand::Log { check } => log(&store, check).await,
    }
}

async fn tenants(store: &Store, what: Tenants) -> Result<(), Box<dyn Error>> {
    match what {
        Tenants::Add { name, signed } => println!("{}", store.tenant_add(named(&name)?, &signed.deed()?).await?),
        Tenants::List => {
            println!("tenant,name,created_at");
            for it in store.tenants_list().await? {
                line(&[&it.id.to_string(), &it.name, &rfc3339(it.created_at)]);
            }
        }
    }
    Ok(())
}

async fn merchants(store: &Store, what: Merchants) -> Result<(), Box<dyn Error>> {
    match what {
        Merchants::Add { tenant, name, signed } => {
            println!("{}", store.merchant_add(tenant, named(&name)?, &signed.deed()?).await?);
        }
        Merchants::List { tenant } => {
            println!("merchant,tenant,name,created_at");
            for it in store.merchants_list(tenant).await? {
                line(&[
                    &it.id.to_string(),
                    &it.tenant.to_string(),
                    &it.name,
                    &rfc3339(it.created_at),
                ]);
            }
        }
    }
    Ok(())
}

async fn accounts(store: &Store, what: Accounts) -> Result<(), Box<dyn Error>> {
    match what {
        Accounts::Claim {
            account,
            merchant,
            signed,
        } => {
            let (address, deed) = (canonical(&account.account)?, signed.deed()?);
            let claimed = store.account_claim((&account.network, &address), merchant, None, &deed);
            claimed.await?;
        }
        Accounts::Release { account, signed } => {
            let address = canonical(&account.account)?;
            store
                .account_release(&account.network, &address, &signed.deed()?)
                .await?;
        }
        Accounts::List { tenant } => {
            println!("network,account,tenant,merchant,claimed_by,created_at");
            for it in store.accounts_list(tenant).await? {
                let (tenant, merchant) = (it.holder.tenant.to_string(), it.holder.merchant.to_string());
                line(&[
                    it.network.as_str(),
                    &it.address,
                    &tenant,
                    &merchant,
                    &it.claimed_by,
                    &rfc3339(it.created_at),
                ]);
            }
        }
    }
    Ok(())
}

async fn keys(store: &Store, settings: Option<gate::Settings>, what: Keys) -> Result<(), Box<dyn Error>> {
    match what {
        Keys::Add {
            tenant,
            merchant,
            name,
            scopes,
            networks,
            assets,
            pay_to,
            signed,
        } => {
            let settings = settings.ok_or("keys are hashed: the configuration needs [tenants]")?;
            let all = |texts: &[String]| texts.iter().map(|it| canonical(it)).collect::<Result<Vec<_>, _>>();
            let wanted = Wanted {
                tenant,
                merchant,
                name: named(&name)?.to_owned(),
                scopes,
                restrictions: Restrictions {
                    networks: some(networks),
                    assets: some(all(&assets)?),
                    pay_to: some(all(&pay_to)?),
                },
            };
            let key = admin::key_issue(store, &settings.pepper, wanted, &signed.deed()?).await?;
            println!("{}", *key);
        }
        Keys::Vouch {
            key,
            public_key,
            signed,
        } => store.key_vouch(key, public_key.as_ref(), &signed.deed()?).await?,
        Keys::Revoke { key, signed } => store.key_revoke(key, &signed.deed()?).await?,
        Keys::List { tenant } => {
            println!("key,tenant,merchant,name,scopes,networks,assets,pay_to,created_at,revoked_at,last_used_at");
            for it in store.keys_list(tenant).await? {
                let (access, restrictions) = (&it.access, &it.access.restrictions);
                let networks = restrictions.networks.as_ref();
                let networks = networks.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
                let joined = |texts: Option<&Vec<String>>| texts.map(|it| it.join(" ")).unwrap_or_default();
                line(&[
                    &access.key.to_string(),
                    &access.tenant.to_string(),
                    &access.merchant.map(|it| it.to_string()).unwrap_or_default(),
                    &it.name,
                    &access.scopes.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(" "),
                    &networks.unwrap_or_default(),
                    &joined(restrictions.assets.as_ref()),
                    &joined(restrictions.pay_to.as_ref()),
                    &rfc3339(it.created_at),
                    &it.revoked_at.map(rfc3339).unwrap_or_default(),
                    &it.last_used_at.map(rfc3339).unwrap_or_default(),
                ]);
            }
        }
    }
    Ok(())
}

async fn log(store: &Store, check: bool) -> Result<(), Box<dyn Error>> {
    let (mut after, mut before) = (0, None);
    loop {
        let (entries, broken) = store.admin_log(after, before.clone()).await?;
        for it in entries.iter().filter(|_| !check) {
            println!(
                "{{\"seq\":{},\"at\":\"{}\",\"entry\":{},\"hash\":\"{}\"}}",
                it.seq,
                rfc3339(it.at),
                it.entry,
                hex::encode(&it.hash)
            );
        }
        if let Some(broken) = broken {
            return Err(broken.into());
        }
        let Some(last) = entries.last() else { break };
        (after, before) = (last.seq, Some(last.hash.clone()));
    }
    if check {
        println!(
            "{after} entries, the newest {}",
            before.map(hex::encode).unwrap_or_default()
        );
    }
    Ok(())
}

impl Signed {
    pub(super) fn deed(&self) -> Result<Deed, Box<dyn Error>> {
        let deed = admin::deed(&self.by, &self.because);
        Ok(deed.ok_or("--by and --because are to say something, in at most 100 and 1000 characters")?)
    }
}

fn named(name: &str) -> Result<&str, Box<dyn Error>> {
    let fits = !name.trim().is_empty() && name.chars().count() <= NAME_MAX && !name.contains('\0');
    Ok(fits.then_some(name).ok_or("--name is to have 1 to 100 characters")?)
}

/// The account as records have it.
pub(super) fn canonical(account: &str) -> Result<String, Box<dyn Error>> {
    Ok(chain::canonical_account(account).ok_or_else(|| format!("{account} is no address"))?)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

pub(super) fn line(fields: &[&str]) {
    let fields: Vec<_> = fields.iter().map(|it| escape(it)).collect();
    println!("{}", fields.join(","));
}

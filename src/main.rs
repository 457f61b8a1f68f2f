//! The command line. The only place that ends the process.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use facilitator::command;
use facilitator::config::Config;
use mimalloc::MiMalloc;

/// Pages and reports are made of many small texts: the C library's allocator took a quarter of an export's time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Verifies and settles x402 stablecoin payments, and keeps records that finance can close the books on.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve /verify, /settle and the records, and finish what an earlier process left open.
    Serve {
        #[command(flatten)]
        config: ConfigPath,
        /// Refuse to start on an outdated schema instead of applying migrations.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Bring the database's schema up to date and exit.
    Migrate {
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Say in plain words what is wrong with configuration, database, clocks, nodes, signers and their balances, recipients'
    /// token accounts and places for reports, without serving or changing anything; exits with 1 when anything is.
    Doctor {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        doctor: command::doctor::DoctorArgs,
    },
    /// Tenants, their merchants and accounts, the keys of their gateways, and who did what to them and why.
    Admin {
        #[command(flatten)]
        config: ConfigPath,
        #[command(subcommand)]
        what: command::admin::AdminCommand,
    },
    /// Hold the records against the chains and print what disagrees; exits with 1 when something does, with 2 when it
    /// could not be told.
    Audit {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        audit: command::audit::AuditArgs,
    },
    /// Ask the facilitator that runs on this machine with this configuration whether it is ready; exits with 1 when it is
    /// not.
    Health {
        #[command(flatten)]
        config: ConfigPath,
    },
    /// List the signers' lanes as CSV.
    Lanes {
        #[command(flatten)]
        config: ConfigPath,
    },
    /// Hold a gateway's own list of orders against the records and print what differs; exits with 1 when something does, with
    /// 2 when it could not be told.
    Match {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        orders: command::matching::MatchArgs,
    },
    /// Check a receipt against the keys that a facilitator publishes. Needs no configuration and asks nobody.
    Receipt {
        #[command(subcommand)]
        what: command::receipt::ReceiptCommand,
    },
    /// Hold the chains' transfers and the records against one another, both ways, and print what somebody has to look at;
    /// exits with 1 when there is any, with 2 when it could not be told.
    Reconcile {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        reconcile: command::reconcile::ReconcileArgs,
    },
    /// Derive the nonce or memo by which a transfer says which order it pays, or check one. Needs no configuration.
    Reference {
        #[command(subcommand)]
        what: command::reference::ReferenceCommand,
    },
    /// Record money that goes back to who paid, list refunds, or take one back.
    Refund {
        #[command(flatten)]
        config: ConfigPath,
        #[command(subcommand)]
        what: command::refund::RefundCommand,
    },
    /// Print recorded payments, or what reconciliation found, as CSV, JSON, NDJSON or Parquet.
    Report {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        report: command::report::ReportArgs,
    },
    /// Refresh the list of sanctioned addresses, list its editions, or print what a vendor checks our questions with.
    Screening {
        #[command(flatten)]
        config: ConfigPath,
        #[command(subcommand)]
        what: command::screening::ScreeningCommand,
    },
    /// Close days into statements, list an account's statements, or print one with its proof.
    Statement {
        #[command(flatten)]
        config: ConfigPath,
        #[command(subcommand)]
        what: command::statement::StatementCommand,
    },
}

#[derive(Args)]
struct ConfigPath {
    /// The TOML configuration file.
    #[arg(long, value_name = "FILE", default_value = "facilitator.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // What says yes or no by its status says by 2 that it cannot tell.
    let failure = match cli.command {
        Command::Audit { .. }
        | Command::Reconcile { .. }
        | Command::Match { .. }
        | Command::Reference { .. }
        | Command::Receipt { .. } => ExitCode::from(2),
        Command::Serve { .. }
        | Command::Migrate { .. }
        | Command::Admin { .. }
        | Command::Doctor { .. }
        | Command::Health { .. }
        | Command::Lanes { .. }
        | Command::Refund { .. }
        | Command::Report { .. }
        | Command::Screening { .. }
        | Command::Statement { .. } => ExitCode::FAILURE,
    };
    match run(cli.command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("facilitator: {}", chain(&*error));
            failure
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    command::undumped::keep_memory_private()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Serve { config, no_migrate } => {
            runtime.block_on(command::serve::serve(Config::load(&config.config)?, !no_migrate))?;
        }
        Command::Migrate { config } => runtime.block_on(command::serve::migrate(Config::load(&config.config)?))?,
        Command::Doctor { config, doctor } => {
            let is_well = runtime.block_on(command::doctor::doctor(Config::load(&config.config)?, doctor));
            return Ok(ExitCode::from(u8::from(!is_well)));
        }
        Command::Health { config } => {
            let is_ready = runtime.block_on(command::health::health(Config::load(&config.config)?))?;
            return Ok(ExitCode::from(u8::from(!is_ready)));
        }
        Command::Admin { config, what } => {
            runtime.block_on(command::admin::admin(Config::load(&config.config)?, what))?;
        }
        Command::Audit { config, audit } => {
            let found = runtime.block_on(command::audit::audit(Config::load(&config.config)?, audit))?;
            return Ok(ExitCode::from(u8::from(found > 0)));
        }
        Command::Reconcile { config, reconcile } => {
            let found = runtime.block_on(command::reconcile::reconcile(Config::load(&config.config)?, reconcile))?;
            return Ok(ExitCode::from(u8::from(found > 0)));
        }
        Command::Lanes { config } => runtime.block_on(command::lanes::lanes(Config::load(&config.config)?))?,
        Command::Match { config, orders } => {
            let found = runtime.block_on(command::matching::matching(Config::load(&config.config)?, orders))?;
            return Ok(ExitCode::from(u8::from(found > 0)));
        }
        Command::Receipt { what } => {
            let is_good = command::receipt::receipt(what)?;
            return Ok(ExitCode::from(u8::from(!is_good)));
        }
        Command::Reference { what } => {
            let is_same = command::reference::reference(what)?;
            return Ok(ExitCode::from(u8::from(!is_same)));
        }
        Command::Refund { config, what } => {
            runtime.block_on(command::refund::refund(Config::load(&config.config)?, what))?;
        }
        Command::Report { config, report } => {
            runtime.block_on(command::report::report(Config::load(&config.config)?, report))?;
        }
        Command::Screening { config, what } => {
            runtime.block_on(command::screening::screening(Config::load(&config.config)?, what))?;
        }
        Command::Statement { config, what } => {
            runtime.block_on(command::statement::statement(Config::load(&config.config)?, what))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The error and everything beneath it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

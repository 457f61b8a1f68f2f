//! The command line. The only place that ends the process.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use facilitator::command;
use facilitator::config::Config;

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
    /// Prove the configuration, the database and every network without serving anything.
    Check {
        #[command(flatten)]
        config: ConfigPath,
    },
    /// List the signers' lanes as CSV, or let a closed one be signed in again.
    Lanes {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        lanes: command::lanes::LanesArgs,
    },
    /// Print recorded payments as CSV, oldest first.
    Report {
        #[command(flatten)]
        config: ConfigPath,
        #[command(flatten)]
        filter: command::report::FilterArgs,
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
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("facilitator: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Serve { config, no_migrate } => {
            runtime.block_on(command::serve::serve(Config::load(&config.config)?, !no_migrate))
        }
        Command::Migrate { config } => runtime.block_on(command::serve::migrate(Config::load(&config.config)?)),
        Command::Check { config } => runtime.block_on(command::serve::check(Config::load(&config.config)?)),
        Command::Lanes { config, lanes } => {
            runtime.block_on(command::lanes::lanes(Config::load(&config.config)?, lanes))
        }
        Command::Report { config, filter } => {
            runtime.block_on(command::report::report(Config::load(&config.config)?, filter))
        }
    }
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

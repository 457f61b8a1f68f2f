//! `facilitator receipt`: checks a receipt against published keys, without a configuration and without asking anybody.

use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::domain::receipt::KeySet;

/// What to do with a receipt.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Print what a receipt says, if one of the keys has signed it; exits with 1 when none has, with 2 when it cannot be
    /// told.
    Check(CheckArgs),
}

/// A receipt, and whose keys to trust.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The facilitator's keys, as it publishes them at /.well-known/jwks.json.
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The receipt, a file with it, or - for standard input.
    receipt: String,
}

/// Does it: true when the receipt is good.
///
/// # Errors
/// A file cannot be read, or the keys are none.
pub fn receipt(command: ReceiptCommand) -> Result<bool, Box<dyn Error>> {
    let ReceiptCommand::Check(CheckArgs { keys, receipt }) = command;
    let keys: KeySet =
        serde_json::from_str(&read(&keys)?).map_err(|error| format!("{}: not a key set: {error}", keys.display()))?;
    let receipt = match receipt.as_str() {
        "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text
        }
        // A receipt has dots and no slashes, and is longer than any file's name may be.
        path if Path::new(path).is_file() => read(Path::new(path))?,
        text => text.to_owned(),
    };
    match keys.check(&receipt) {
        Ok(claims) => {
            println!("{}", serde_json::to_string_pretty(&claims)?);
            Ok(true)
        }
        Err(fault) => {
            eprintln!("no receipt of theirs: {fault}");
            Ok(false)
        }
    }
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    Ok(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?)
}

//! `facilitator reference`: the nonce or memo by which a transfer says which order it pays. Needs no configuration and asks
//! nobody.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::chain;
use crate::domain::labels::Label;
use crate::domain::network::NetworkId;
use crate::domain::order::{Salt, commitment};

/// What to do with an order's name.
#[derive(Debug, Subcommand)]
pub enum ReferenceCommand {
    /// Print what to ask the payer to sign: the EIP-3009 nonce on EVM, the memo on Solana.
    Derive(OrderArgs),
    /// Say whether a nonce or memo is this order's; exits with 1 when it is another's, with 2 when it cannot be told.
    Check {
        /// Of which order.
        #[command(flatten)]
        order: OrderArgs,
        /// The nonce or memo that was seen.
        seen: String,
    },
}

/// An order, and who is to be paid for it.
#[derive(Debug, Args)]
pub struct OrderArgs {
    /// The network (CAIP-2).
    #[arg(long)]
    network: NetworkId,
    /// The recipient's address.
    #[arg(long)]
    pay_to: String,
    /// The order's name: up to 255 printable ASCII characters.
    #[arg(long)]
    order: String,
    /// A file with the merchant's salt: 32 to 128 hexadecimal digits, random, kept secret.
    #[arg(long, value_name = "FILE")]
    salt_file: PathBuf,
}

/// Does it: true unless a check found another.
///
/// # Errors
/// An argument is not what it must be, or the salt cannot be read.
pub fn reference(command: ReferenceCommand) -> Result<bool, Box<dyn Error>> {
    match command {
        ReferenceCommand::Derive(order) => {
            println!("{}", order.name()?);
            Ok(true)
        }
        ReferenceCommand::Check { order, seen } => {
            let is_same = order.name()?.eq_ignore_ascii_case(&seen);
            println!("{}", if is_same { "this order's" } else { "not this order's" });
            Ok(is_same)
        }
    }
}

impl OrderArgs {
    /// The order's name on the chain, as its network writes it.
    fn name(&self) -> Result<String, Box<dyn Error>> {
        let pay_to = chain::canonical_account(&self.pay_to).ok_or("--pay-to: not an address of any chain")?;
        let order = Label::new(&self.order).ok_or_else(|| format!("--order: expected {}", Label::SHAPE))?;
        let path = self.salt_file.display();
        let text = fs::read_to_string(&self.salt_file).map_err(|error| format!("--salt-file {path}: {error}"))?;
        let salt = Salt::read(text.trim()).ok_or_else(|| format!("--salt-file {path}: expected {}", Salt::SHAPE))?;
        let name = hex::encode(commitment(&salt, &self.network, &pay_to, &order));
        match self.network.namespace() {
            "eip155" => Ok(format!("0x{name}")),
            "solana" => Ok(name),
            _ => Err("--network: expected one of eip155 or solana".into()),
        }
    }
}

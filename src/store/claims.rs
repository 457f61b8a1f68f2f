//! Whose an account is, as its owner has signed.

use serde_json::json;

use super::{Store, StoreFault};
use crate::domain::claim::Claim;

statements! {
    // An account is one merchant's at a time: nobody takes it from whoever has it.
    CLAIM = "insert into merchant_accounts as a (network, address, tenant, merchant_id, claimed_by, proof, created_at)
        select $1, $2, m.tenant, m.id, 'proof', $5, now() from merchants m where m.tenant = $3 and m.id = $4
        on conflict (network, address) do update set claimed_by = 'proof', proof = excluded.proof
            where a.tenant = excluded.tenant and a.merchant_id = excluded.merchant_id";
    MERCHANT = "select exists (select 1 from merchants where tenant = $1 and id = $2)";
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The account is the merchant's now, or was so already; the proof is on record.
    Held,
    /// Another merchant has it, of this tenant or of another.
    Taken,
    /// The tenant has no such merchant.
    NoMerchant,
}

impl Store {
    /// Puts on record that the account is the merchant's, with what its owner has signed. For claims that are proven.
    ///
    /// # Errors
    /// Faults of the store; safe to repeat.
    pub async fn account_claim(&self, claim: &Claim, signature: &str) -> Result<Claimed, StoreFault> {
        let operation = "account_claim";
        let proof = json!({"text": claim.to_string(), "signature": signature}).to_string();
        let mut connection = self.connection(operation).await?;
        let done = sqlx::query(CLAIM)
            .bind(claim.network.as_str())
            .bind(&claim.pay_to)
            .bind(claim.tenant.as_uuid())
            .bind(claim.merchant.as_uuid())
            .bind(proof)
            .execute(&mut *connection)
            .await
            .map_err(StoreFault::writing(operation))?;
        if done.rows_affected() > 0 {
            return Ok(Claimed::Held);
        }
        let is_there: bool = sqlx::query_scalar(MERCHANT)
            .bind(claim.tenant.as_uuid())
            .bind(claim.merchant.as_uuid())
            .fetch_one(&mut *connection)
            .await
            .map_err(StoreFault::reading(operation))?;
        Ok(if is_there { Claimed::Taken } else { Claimed::NoMerchant })
    }
}

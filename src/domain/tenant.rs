//! Who asks: the tenant whose records a request sees, and what its key lets it do.

pub use crate::domain::id::{KeyId, MerchantId, TenantId};

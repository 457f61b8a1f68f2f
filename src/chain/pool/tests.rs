//! The pool against nodes that answer by script, and by the clock where none needs to answer.

use super::*;

/// Any chain is the right one.
#[derive(Debug)]
struct Any;

impl Dialect for Any {
    fn identity(&self) -> &'static str {
        "eth_chainId"
    }
    fn judge(&self, _: &RawValue) -> Result<(), String> {
        Ok(())
    }
    fn head(&self) -> &'static str {
        "eth_blockNumber"
    }
    fn height(&self, head: &RawValue) -> Option<u64> {
        serde_json::from_str(head.get()).ok()
    }
}

impl Pool {
    /// One endpoint that is believed to be of the right chain.
    pub(in crate::chain) fn alone(rpc: Rpc) -> Self {
        Self::among(vec![rpc])
    }

    /// These endpoints, believed to be of the right chain.
    fn among(rpcs: Vec<Rpc>) -> Self {
        let network = rpcs.first().unwrap().network().clone();
        let endpoints: Vec<_> = rpcs.into_iter().map(|rpc| Arc::new(Endpoint::new(rpc))).collect();
        endpoints.iter().for_each(|it| it.believe());
        Self::of(
            &network,
            endpoints,
            1,
            Box::new(Any),
            Duration::from_secs(1),
            &Tasks::default(),
        )
    }
}

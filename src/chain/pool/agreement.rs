//! What enough endpoints say, of questions that are no payments.

use futures_util::future::join_all;

use super::{Pool, TRIES_MAX};
use crate::chain::quorum;
use crate::domain::rail::RailFault;

impl Pool {
    /// What enough endpoints say at least of a number that only grows. `ask` asks one of them.
    ///
    /// # Errors
    /// Fewer endpoints than have to agree could be asked.
    pub(in crate::chain) async fn reached<T, F>(&self, ask: impl Fn(Self) -> F + Send + Sync) -> Result<T, RailFault>
    where
        T: Ord + Copy + Send,
        F: Future<Output = Result<T, RailFault>> + Send,
    {
        let shared = &self.shared;
        if shared.quorum == 1 {
            return ask(self.clone()).await;
        }
        let said = join_all(self.fit_places().into_iter().map(|place| ask(self.view(place)))).await;
        let (said, faults): (Vec<_>, Vec<_>) = said.into_iter().partition(Result::is_ok);
        let few = || self.fault("ask", "fewer endpoints than have to agree could be asked");
        let fault = faults.into_iter().find_map(Result::err);
        quorum::reached(said.into_iter().flatten(), shared.quorum).ok_or_else(|| fault.unwrap_or_else(few))
    }

    /// What enough endpoints say alike. `ask` asks one of them, which has the whole say where one is enough.
    ///
    /// # Errors
    /// Too few endpoints could be asked, or say the same.
    pub(in crate::chain) async fn alike<T, F>(&self, ask: impl Fn(Self) -> F + Send + Sync) -> Result<T, RailFault>
    where
        T: PartialEq + Send,
        F: Future<Output = Result<T, RailFault>> + Send,
    {
        let quorum = self.shared.quorum;
        if quorum == 1 {
            return self.first(ask).await;
        }
        let said = join_all(self.fit_places().into_iter().map(|place| ask(self.view(place)))).await;
        let (said, faults): (Vec<_>, Vec<_>) = said.into_iter().partition(Result::is_ok);
        let mut said: Vec<T> = said.into_iter().flatten().collect();
        let is_agreed = |it: &T| said.iter().filter(|other| *other == it).count() >= quorum;
        match said.iter().position(is_agreed) {
            Some(place) => Ok(said.swap_remove(place)),
            None => Err(faults
                .into_iter()
                .find_map(Result::err)
                .unwrap_or_else(|| self.fault("ask", "fewer endpoints than have to agree say the same"))),
        }
    }

    /// What the first endpoint says that says anything, of a few.
    async fn first<T, F>(&self, ask: impl Fn(Self) -> F + Send + Sync) -> Result<T, RailFault>
    where
        F: Future<Output = Result<T, RailFault>> + Send,
    {
        let mut last = None;
        for place in self.places().into_iter().take(TRIES_MAX) {
            match ask(self.view(place)).await {
                Err(fault) => last = Some(fault),
                said => return said,
            }
        }
        Err(last.unwrap_or_else(|| self.fault("ask", "there is no endpoint to ask")))
    }
}

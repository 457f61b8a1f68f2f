//! Who drives which lane, on the store's own clock.

use std::time::Duration;

use facilitator::domain::lease::{Lease, ProcessId, Tenancy};
use facilitator::domain::network::NetworkId;
use facilitator::domain::rail::{LaneId, TxId};
use facilitator::store::{FOREIGN, Roll};

use super::Tables;

/// How long a process that is silent stays in the list.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

impl Tables {
    pub(super) fn leases_beat(&mut self, network: &NetworkId, me: ProcessId, lanes: &[LaneId], term: Duration) -> Roll {
        let now = self.now;
        self.replicas.insert((network.clone(), me), now + term);
        let held = self.lanes.iter_mut().filter(|(lane, _)| lane.network == *network);
        for (_, lane) in held {
            if lane.lease.is_some_and(|(holder, until)| holder == me && until > now) {
                lane.lease = Some((me, now + term));
            }
        }
        let asked = self.lanes.iter().filter(|(lane, _)| lanes.contains(lane));
        let tenancy = |(lane, it): (&LaneId, &super::Lane)| Tenancy {
            lane: lane.clone(),
            holder: it.lease.filter(|(_, until)| *until > now).map(|(holder, _)| holder),
            fence: it.fence,
            is_quarantined: it.is_quarantined,
        };
        let alive = self.replicas.iter();
        Roll {
            lanes: asked.map(tenancy).collect(),
            alive: alive.filter(|((at, _), until)| at == network && **until > now).count(),
        }
    }

    pub(super) fn lease_take(&mut self, lane: &LaneId, me: ProcessId, term: Duration) -> Option<Lease> {
        let now = self.now;
        let row = self.lanes.get_mut(lane)?;
        if row.lease.is_some_and(|(_, until)| until > now) {
            return None;
        }
        row.lease = Some((me, now + term));
        row.fence += 1;
        Some(Lease {
            lane: lane.clone(),
            holder: me,
            fence: row.fence,
        })
    }

    pub(super) fn leases_give(&mut self, me: ProcessId, lanes: &[LaneId]) {
        for lane in lanes {
            if let Some(row) = self.lanes.get_mut(lane)
                && row.lease.is_some_and(|(holder, _)| holder == me)
            {
                row.lease = None;
            }
        }
    }

    pub(super) fn replica_leave(&mut self, network: &NetworkId, me: ProcessId) {
        let now = self.now;
        self.replicas.remove(&(network.clone(), me));
        self.replicas
            .retain(|(at, _), until| at != network || *until >= now - FORGOTTEN_AFTER);
    }

    pub(super) fn lane_quarantine(&mut self, lane: &LaneId) -> bool {
        let row = self.lanes.get_mut(lane);
        row.is_some_and(|row| !std::mem::replace(&mut row.is_quarantined, true))
    }

    pub(super) fn slots_usurped(&mut self, lane: &LaneId, nonces: &[u64]) {
        for nonce in nonces {
            if let Some(slot) = self.slots.get_mut(&(lane.clone(), *nonce)) {
                slot.consumed_by.get_or_insert_with(|| TxId(FOREIGN.into()));
            }
        }
    }
}

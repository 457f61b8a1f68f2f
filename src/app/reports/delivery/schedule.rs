//! Which reports are delivered by themselves, as the operator says it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveTime;
use serde::Deserialize;

use super::place::Place;
use crate::app::reports::encode::Format;
use crate::app::reports::{Kind, Order};
use crate::domain::calendar::{Cadence, Calendar};
use crate::domain::network::NetworkId;
use crate::domain::statement::Period;
use crate::domain::tenant::TenantId;
use crate::domain::time::Timestamp;
use crate::export::csv::time;
use crate::outbound::bucket::{self, Bucket};

/// The `[reports]` section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is delivered by itself.
    pub schedule: Vec<ScheduleSettings>,
}

/// A `[[reports.schedule]]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Its name, which begins the names of its files: 1 to 64 lower-case letters, digits and hyphens. One of another name
    /// begins anew.
    pub name: String,
    /// What its reports are of.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// How they are written.
    pub format: Format,
    /// How long a period one has.
    #[serde(default)]
    pub period: Cadence,
    /// When it is due.
    #[serde(default)]
    pub due: Due,
    /// Conditions besides the period's.
    #[serde(default)]
    pub filter: BTreeMap<String, String>,
    /// Of whose records they are; of everybody's, where it is none.
    pub tenant: Option<TenantId>,
    /// Where it goes.
    pub to: Destination,
}

/// When a period's report is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Due {
    /// As soon as the statements of its last day are closed on every network that it may be of: so that nothing of it comes
    /// late.
    #[default]
    Closed,
    /// At this time of the day after it, in the statements' time zone, whatever is known then.
    At(NaiveTime),
}

impl TryFrom<String> for Due {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "closed" => Ok(Self::Closed),
            text => NaiveTime::parse_from_str(text, "%H:%M")
                .map(Self::At)
                .map_err(|_| "expected closed, or a time of the day such as 06:30"),
        }
    }
}

/// Where reports go.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// To the endpoints of the webhooks, as the event `report.ready` with the path that the report is read at.
    Webhook,
    /// Into a folder, which has to be there.
    Folder(String),
    /// Into a bucket of an S3-compatible store.
    S3(bucket::Settings),
}

/// A schedule that can be kept.
#[derive(Clone)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// What its reports are of.
    pub kind: Kind,
    /// How long a period one has.
    pub cadence: Cadence,
    /// When it is due.
    pub due: Due,
    /// Where it goes.
    pub place: Place,
    /// Of whose records they are; of everybody's, where it is none.
    pub tenant: Option<TenantId>,
    format: Format,
    filter: BTreeMap<String, String>,
}

/// A schedule that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unkeepable {
    /// Which key of `[reports]`: `schedule[0].filter.payTo`.
    pub key: String,
    /// What was expected.
    pub what: String,
}

impl Settings {
    /// The schedules. `canonical` gives the text of an account as records have it; `signs` says whether webhooks are sent.
    ///
    /// # Errors
    /// The first key that is not what it must be.
    pub fn schedules(
        &self,
        canonical: impl Fn(&str) -> Option<String>,
        signs: bool,
    ) -> Result<Vec<Schedule>, Unkeepable> {
        let mut names = BTreeSet::new();
        let read = |(index, it): (usize, &ScheduleSettings)| {
            let wrong = |key: &str, what: String| Unkeepable {
                key: format!("schedule[{index}].{key}"),
                what,
            };
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !(1..=64).contains(&it.name.len()) || !it.name.bytes().all(is_plain) {
                let expected = "expected 1 to 64 lower-case letters, digits and hyphens";
                return Err(wrong("name", expected.to_owned()));
            }
            if !names.insert(it.name.clone()) {
                return Err(wrong("name", "expected each name once".to_owned()));
            }
            if it.tenant.is_some() && !it.kind.is_of_tenants() {
                return Err(wrong("type", format!("expected one of {}", Kind::names_of_tenants())));
            }
            let place = match &it.to {
                Destination::Webhook if signs => Place::Webhook,
                Destination::Webhook => {
                    let expected = "expected [signing], without which no webhooks are sent";
                    return Err(wrong("to", expected.to_owned()));
                }
                Destination::Folder(path) if path.is_empty() => {
                    return Err(wrong("to.folder", "expected the path of a folder".to_owned()));
                }
                Destination::Folder(path) => Place::Folder(path.into()),
                Destination::S3(settings) => {
                    Place::Bucket(Box::new(Bucket::new(settings).map_err(|what| wrong("to.s3", what))?))
                }
            };
            let schedule = Schedule {
                name: it.name.clone(),
                kind: it.kind,
                cadence: it.period,
                due: it.due,
                place,
                tenant: it.tenant,
                format: it.format,
                filter: it.filter.clone(),
            };
            let any = Period {
                starts: Timestamp(0),
                ends: Timestamp(1),
            };
            let order = schedule.order(any, &canonical);
            order.map(|_| schedule).map_err(|fault| wrong("filter", fault))
        };
        self.schedule.iter().enumerate().map(read).collect()
    }
}

impl Schedule {
    /// The order of a period's report.
    ///
    /// # Errors
    /// The conditions are not what they must be, in words.
    pub fn order(&self, period: Period, canonical: impl Fn(&str) -> Option<String>) -> Result<Order, String> {
        let mut question = self.filter.clone();
        let bounds = [time(period.starts), time(period.ends)];
        for (key, bound) in self.kind.period().into_iter().flatten().zip(bounds) {
            if question.insert(key.to_owned(), bound).is_some() {
                return Err(format!("expected no {key}, which the period sets"));
            }
        }
        Order::new(self.kind, self.format, question, canonical).map_err(|fault| fault.to_string())
    }

    /// When the period's report is due at the earliest.
    #[must_use]
    pub fn due_at(&self, period: Period, calendar: Calendar) -> Timestamp {
        match self.due {
            Due::Closed => period.ends,
            Due::At(time) => calendar.at(period.ends, time).unwrap_or(period.ends),
        }
    }

    /// Whether it may be of this network.
    #[must_use]
    pub fn is_of(&self, network: &NetworkId) -> bool {
        let named = self.filter.get("network");
        named.is_none_or(|it| *it == network.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schedules(change: fn(&mut Value), signs: bool) -> Result<Vec<Schedule>, String> {
        let mut tables = json!({"schedule": [
            {"name": "a", "type": "settlements", "format": "csv", "to": {"folder": "/reports"}},
            {"name": "b", "type": "reconciliation_exceptions", "format": "parquet", "period": "weekly", "due": "06:30",
                "filter": {"payTo": "x"}, "to": "webhook"},
        ]});
        change(&mut tables["schedule"]);
        let settings: Settings = serde_json::from_value(tables).map_err(|error| error.to_string())?;
        let read = settings.schedules(|_| None, signs);
        read.map_err(|it| format!("{}: {}", it.key, it.what))
    }

    #[test]
    fn a_schedule_asks_for_its_period_in_the_words_of_its_kind() {
        let read = schedules(|_| (), true).unwrap();
        let period = Period {
            starts: Timestamp(1_763_856_000),
            ends: Timestamp(1_763_942_400),
        };
        let order = |it: &Schedule| format!("{:?}", it.order(period, |_| None).unwrap());
        assert!(order(&read[0]).contains("2025-11-23T00:00:00Z"), "{}", order(&read[0]));
        assert!(!order(&read[1]).contains("2025-11-23"), "what is open is open now");
        let due: Vec<u64> = read
            .iter()
            .map(|it| it.due_at(period, Calendar::UTC).0 - period.ends.0)
            .collect();
        assert_eq!(due, [0, 6 * 3_600 + 1_800]);
    }

    #[test]
    fn a_schedule_that_cannot_be_kept_is_refused_by_its_key() {
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 11] = [
            ("unknown field", |it| it[0]["colour"] = json!("red")),
            ("expected one of settlements", |it| it[0]["type"] = json!("everything")),
            ("expected one of csv", |it| it[0]["format"] = json!("pdf")),
            ("unknown variant", |it| it[0]["period"] = json!("hourly")),
            ("expected closed", |it| it[0]["due"] = json!("noon")),
            ("unknown variant", |it| it[0]["to"] = json!({"ftp": "x"})),
            ("schedule[0].name: expected 1 to 64", |it| {
                it[0]["name"] = json!("../x");
            }),
            ("schedule[1].name: expected each name once", |it| {
                it[1]["name"] = json!("a");
            }),
            ("schedule[0].filter: expected no blockTimeFrom", |it| {
                it[0]["filter"] = json!({"blockTimeFrom": "2026-01-01T00:00:00Z"});
            }),
            ("schedule[1].filter: payer", |it| {
                it[1]["filter"] = json!({"payer": "x"});
            }),
            ("schedule[0].to.s3: endpoint", |it| {
                it[0]["to"] = json!({"s3": {"endpoint": "x", "region": "r", "bucket": "b", "access_key_id": "k",
                    "secret_access_key": "s"}});
            }),
        ];
        for (expected, change) in cases {
            let said = schedules(change, true).err().unwrap();
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let said = schedules(|_| (), false).err().unwrap();
        assert!(said.starts_with("schedule[1].to: expected [signing]"), "{said}");
    }
}

//! The gateway's words for a payment, as columns.

use super::columns::Columns;
use super::rows::OutOfPlace;
use crate::domain::labels::{Label, Labels, Metadata};

/// The columns of `payments` that [`Labels`] consist of.
pub(super) struct LabelsRow {
    pub(super) merchant_reference: Option<String>,
    pub(super) order_id: Option<String>,
    /// A JSON object of strings.
    pub(super) metadata: Option<String>,
}

impl LabelsRow {
    /// `merchant_reference, order_id, metadata`.
    pub(super) fn take(columns: &mut Columns<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            merchant_reference: columns.take()?,
            order_id: columns.take()?,
            metadata: columns.take()?,
        })
    }

    pub(super) fn of(labels: &Labels) -> Self {
        let text = |label: &Option<Label>| label.as_ref().map(ToString::to_string);
        Self {
            merchant_reference: text(&labels.merchant_reference),
            order_id: text(&labels.order_id),
            metadata: labels
                .metadata
                .as_ref()
                .map(|it| serde_json::json!(it.entries()).to_string()),
        }
    }

    pub(super) fn read(self) -> Result<Labels, OutOfPlace> {
        let metadata = |text: String| {
            let entries = serde_json::from_str(&text).ok().and_then(Metadata::new);
            entries.ok_or(OutOfPlace("metadata"))
        };
        Ok(Labels {
            merchant_reference: label("merchant_reference", self.merchant_reference)?,
            order_id: label("order_id", self.order_id)?,
            metadata: self.metadata.map(metadata).transpose()?,
        })
    }
}

fn label(column: &'static str, text: Option<String>) -> Result<Option<Label>, OutOfPlace> {
    text.map(|it| Label::new(&it).ok_or(OutOfPlace(column))).transpose()
}

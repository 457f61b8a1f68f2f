//! What clients attach to a payment beyond the payment itself. Only `payment-identifier` is read; every other
//! extension passes unread.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::rejection::Malformed;
use crate::domain::request::{PaymentReference, ReferenceKind};
use crate::wire::json::Field;

/// The extensions that are understood, as `/supported` announces them.
pub(super) const SUPPORTED: [&str; 1] = ["payment-identifier"];

#[derive(Deserialize)]
struct Extensions<'a> {
    #[serde(borrow, rename = "payment-identifier")]
    payment_identifier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Declared<'a> {
    #[serde(borrow)]
    info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    required: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The id that the `payment-identifier` extension gives the payment: 16 to 128 characters of `[A-Za-z0-9_-]`
/// (x402 specification, `extensions/payment_identifier.md`). One that is not of this form is no id; that is an
/// error only where an id is required.
pub(super) fn payment_identifier(extensions: Field<'_>) -> Result<Option<PaymentReference>, Malformed> {
    const EXTENSION: &str = "paymentPayload.extensions.payment-identifier";
    const INFO: &str = "paymentPayload.extensions.payment-identifier.info";

    let Some(Extensions { payment_identifier }) = extensions.object_if_any()? else {
        return Ok(None);
    };
    let declared = Field::new("paymentPayload.extensions", "payment-identifier", payment_identifier);
    let Some(Declared { info }) = declared.object_if_any()? else {
        return Ok(None);
    };
    let Some(Info { required, id }) = Field::new(EXTENSION, "info", info).object_if_any()? else {
        return Ok(None);
    };
    let is_required = Field::new(INFO, "required", required).is_set()?;
    let id = Field::new(INFO, "id", id);
    match id.any_text().filter(|text| is_identifier(text)) {
        Some(text) => Ok(Some(PaymentReference {
            kind: ReferenceKind::PaymentIdentifier,
            value: text.into_owned(),
        })),
        None if is_required => Err(id.malformed("16 to 128 characters of [A-Za-z0-9_-]")),
        None => Ok(None),
    }
}

fn is_identifier(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<String>, String> {
        let field = Field::new("paymentPayload", "extensions", serde_json::from_str(json).unwrap());
        match payment_identifier(field) {
            Ok(reference) => Ok(reference.map(|it| it.value)),
            Err(malformed) => Err(malformed.path),
        }
    }

    #[test]
    fn an_id_is_taken_when_it_is_well_formed() {
        let good = "pay_0123456789ab";
        assert_eq!(
            read(&format!(
                r#"{{"payment-identifier":{{"info":{{"required":true,"id":"{good}"}},"schema":{{}}}}}}"#
            )),
            Ok(Some(good.to_owned()))
        );
        for none in [
            "null",
            "{}",
            r#"{"bazaar":{"info":[]}}"#,
            r#"{"payment-identifier":null}"#,
            r#"{"payment-identifier":{}}"#,
            r#"{"payment-identifier":{"info":{"required":false}}}"#,
            r#"{"payment-identifier":{"info":{"required":false,"id":"short"}}}"#,
            r#"{"payment-identifier":{"info":{"id":7}}}"#,
        ] {
            assert_eq!(read(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn a_required_id_must_be_there() {
        let id = "paymentPayload.extensions.payment-identifier.info.id";
        let long = "a".repeat(129);
        for info in [
            r#"{"required":true}"#.to_owned(),
            r#"{"required":true,"id":null}"#.to_owned(),
            r#"{"required":true,"id":"short"}"#.to_owned(),
            r#"{"required":true,"id":"pay_0123456789a!"}"#.to_owned(),
            format!(r#"{{"required":true,"id":"{long}"}}"#),
        ] {
            let read = read(&format!(r#"{{"payment-identifier":{{"info":{info}}}}}"#));
            assert_eq!(read, Err(id.to_owned()), "{info}");
        }
        assert_eq!(
            read(r#"{"payment-identifier":{"info":{"required":"yes"}}}"#),
            Err("paymentPayload.extensions.payment-identifier.info.required".to_owned())
        );
        assert_eq!(read("[]"), Err("paymentPayload.extensions".to_owned()));
    }
}

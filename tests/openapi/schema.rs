//! The part of JSON Schema 2020-12 that `openapi.yaml` uses. A keyword that is not known here is an error, so that
//! nothing in the file goes unchecked by going unread.

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Keywords that say something to people only.
const ANNOTATIONS: [&str; 6] = ["title", "description", "examples", "example", "default", "format"];

/// What is wrong with `value` by `schema`; nothing when it is valid. References are looked up in `document`.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Value::Object(keywords) = schema else {
        let is_open = *schema == Value::Bool(true);
        return if is_open {
            Vec::new()
        } else {
            vec![format!("{at}: nothing is allowed here")]
        };
    };
    let checks = keywords
        .iter()
        .filter(|(name, _)| !ANNOTATIONS.contains(&name.as_str()));
    checks
        .flat_map(|(name, rule)| fault(document, keywords, name, rule, value, at))
        .collect()
}

fn fault(
    document: &Value,
    keywords: &Map<String, Value>,
    name: &str,
    rule: &Value,
    value: &Value,
    at: &str,
) -> Vec<String> {
    let within = |schema: &Value, value: &Value, at: &str| faults(document, schema, value, at);
    let passing = || {
        let branches = rule.as_array().unwrap();
        branches.iter().filter(|it| within(it, value, at).is_empty()).count()
    };
    let characters = value.as_str().map(|text| text.chars().count());
    let number = || rule.as_u64().unwrap();
    let is_met = match name {
        "$ref" => return within(resolve(document, rule), value, at),
        "properties" => {
            let rules = rule.as_object().unwrap().iter();
            let present = rules.filter_map(|(key, rule)| Some((key, rule, value.get(key)?)));
            return present
                .flat_map(|(key, rule, value)| within(rule, value, &format!("{at}.{key}")))
                .collect();
        }
        "additionalProperties" => {
            let known = |key: &String| keywords.get("properties").is_some_and(|it| it.get(key).is_some());
            let others = value.as_object().into_iter().flatten().filter(|(key, _)| !known(key));
            return others
                .flat_map(|(key, value)| within(rule, value, &format!("{at}.{key}")))
                .collect();
        }
        "items" => {
            let items = value.as_array().into_iter().flatten();
            return items.flat_map(|item| within(rule, item, &format!("{at}[]"))).collect();
        }
        "type" => match rule.as_array() {
            Some(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
            None => is_of(rule, value),
        },
        "required" => {
            let keys = rule.as_array().unwrap().iter().map(|key| key.as_str().unwrap());
            value
                .as_object()
                .is_none_or(|it| keys.into_iter().all(|key| it.contains_key(key)))
        }
        "enum" => rule.as_array().unwrap().contains(value),
        "const" => rule == value,
        "oneOf" => passing() == 1,
        "anyOf" => passing() > 0,
        "pattern" => value
            .as_str()
            .is_none_or(|text| Regex::new(rule.as_str().unwrap()).unwrap().is_match(text)),
        "minLength" => characters.is_none_or(|it| u64::try_from(it).unwrap() >= number()),
        "maxLength" => characters.is_none_or(|it| u64::try_from(it).unwrap() <= number()),
        "minimum" => value.as_u64().is_none_or(|it| it >= number()),
        "maximum" => value.as_u64().is_none_or(|it| it <= number()),
        _ => panic!("{at}: the schema keyword {name} is not one that this test knows"),
    };
    if is_met {
        Vec::new()
    } else {
        vec![format!("{at}: {name} {rule} is not met by {value}")]
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        kind => panic!("{kind} is not a type that this test knows"),
    }
}

/// What a `$ref` within the document points to.
pub(crate) fn resolve<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let reference = reference.as_str().unwrap();
    let pointer = reference.strip_prefix('#').unwrap();
    document
        .pointer(pointer)
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

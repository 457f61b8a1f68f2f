//! Every alteration of a token, and what becomes of it.

use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

const BODY: &[u8] = b"{\"x402Version\":2}";

const REQUEST: Request<'_> = Request {
    method: "POST",
    path: "/settle",
};

fn gateway(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn public(byte: u8) -> PublicKey {
    PublicKey(gateway(byte).verifying_key())
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": TYPE})
}

fn claims() -> Value {
    json!({
        "iss": KeyId::from_uuid(uuid::Uuid::nil()).to_string(),
        "iat": NOW,
        "exp": NOW + 60,
        "method": "POST",
        "path": "/settle",
        "body_sha256": URL_SAFE_NO_PAD.encode(Sha256::digest(BODY)),
    })
}

/// These claims, by the first gateway.
fn token(header: &Value, claims: &Value) -> String {
    sealed(&format!("{}.{}", encoded(header), encoded(claims)))
}

fn sealed(signed: &str) -> String {
    let signature = gateway(1).sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    if value.is_null() {
        object.as_object_mut().unwrap().remove(key);
    } else {
        object[key] = value;
    }
    object
}

fn checked(text: &str, request: Request<'_>, now: u64) -> Result<(), Flaw> {
    Token::read(text)?
        .check(&public(1), request, Timestamp(now))?
        .check(BODY)
}

#[test]
fn a_token_is_good_for_the_request_that_it_was_made_for_however_often() {
    let text = token(&header(), &claims());
    assert_eq!(Token::read(&text).unwrap().key.as_uuid(), uuid::Uuid::nil());
    for _ in 0..2 {
        assert_eq!(checked(&text, REQUEST, NOW), Ok(()));
    }
    assert_eq!(
        Token::read(&text).unwrap().check(&public(2), REQUEST, Timestamp(NOW)),
        Err(Flaw::Forged)
    );
}

#[test]
fn it_is_good_for_no_other_request() {
    let text = token(&header(), &claims());
    for (method, path, flaw) in [
        ("GET", "/settle", Flaw::Method),
        ("post", "/settle", Flaw::Method),
        ("POST", "/verify", Flaw::Path),
        ("POST", "/settle?", Flaw::Path),
        ("POST", "/settle/", Flaw::Path),
    ] {
        assert_eq!(
            checked(&text, Request { method, path }, NOW),
            Err(flaw),
            "{method} {path}"
        );
    }
    let bound = Token::read(&text)
        .unwrap()
        .check(&public(1), REQUEST, Timestamp(NOW))
        .unwrap();
    for body in [&b""[..], b"{\"x402Version\":1}", b"{\"x402Version\":2} "] {
        assert_eq!(bound.check(body), Err(Flaw::Body));
    }
}

#[test]
fn it_is_good_for_minutes_on_clocks_that_differ_by_seconds() {
    let good_for = |iat: u64, exp: u64, now: u64| {
        let claims = with(with(claims(), "iat", json!(iat)), "exp", json!(exp));
        checked(&token(&header(), &claims), REQUEST, now)
    };
    for (iat, exp, now, expected) in [
        (NOW, NOW + 120, NOW, Ok(())),
        (NOW, NOW + 121, NOW, Err(Flaw::Lifetime)),
        (NOW, NOW, NOW, Err(Flaw::Lifetime)),
        (NOW, NOW - 1, NOW, Err(Flaw::Lifetime)),
        (0, u64::MAX, NOW, Err(Flaw::Lifetime)),
        (NOW, NOW + 1, NOW - 30, Ok(())),
        (NOW, NOW + 1, NOW - 31, Err(Flaw::Early)),
        (NOW, NOW + 60, NOW + 89, Ok(())),
        (NOW, NOW + 60, NOW + 90, Err(Flaw::Late)),
        (u64::MAX - 1, u64::MAX, NOW, Err(Flaw::Early)),
        (u64::MAX - 1, u64::MAX, u64::MAX, Err(Flaw::Late)),
    ] {
        assert_eq!(good_for(iat, exp, now), expected, "{iat} {exp} at {now}");
    }
}

#[test]
fn no_bit_of_it_may_be_altered() {
    let text = token(&header(), &claims());
    for at in 0..text.len() {
        for flip in [1, 2, 32] {
            let mut altered = text.clone().into_bytes();
            altered[at] ^= flip;
            let Ok(altered) = String::from_utf8(altered) else {
                continue;
            };
            assert!(checked(&altered, REQUEST, NOW).is_err(), "{at}: {altered}");
        }
        assert!(checked(&text[..at], REQUEST, NOW).is_err(), "cut at {at}");
    }
}

#[test]
fn nothing_that_it_says_of_itself_chooses_how_it_is_checked() {
    let signed = format!("{}.{}", encoded(&header()), encoded(&claims()));
    let (none, hmac) = (
        with(header(), "alg", json!("none")),
        with(header(), "alg", json!("HS256")),
    );
    for (what, text) in [
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("no signature", signed.clone()),
        ("an empty signature", format!("{signed}.")),
        ("a part more", format!("{}.x", sealed(&signed))),
        ("no algorithm", format!("{}.{}.", encoded(&none), encoded(&claims()))),
        ("no algorithm, but signed", token(&none, &claims())),
        ("an algorithm of secrets", token(&hmac, &claims())),
        ("another case", token(&with(header(), "alg", json!("eddsa")), &claims())),
        ("another type", token(&with(header(), "typ", json!("JWT")), &claims())),
        (
            "a receipt's type",
            token(&with(header(), "typ", json!("x402-receipt+jwt")), &claims()),
        ),
        ("no type", token(&with(header(), "typ", Value::Null), &claims())),
        (
            "a key of its choice",
            token(&with(header(), "kid", json!("../../key")), &claims()),
        ),
        (
            "a key of its own",
            token(&with(header(), "jwk", json!({"kty": "OKP"})), &claims()),
        ),
        (
            "a key from elsewhere",
            token(&with(header(), "jku", json!("https://x")), &claims()),
        ),
        (
            "an extension",
            token(&with(header(), "crit", json!(["exp"])), &claims()),
        ),
        (
            "a claim that is not heeded",
            token(&header(), &with(claims(), "aud", json!("x"))),
        ),
        (
            "another issuer",
            token(&header(), &with(claims(), "iss", json!("gateway"))),
        ),
        (
            "a time in words",
            token(&header(), &with(claims(), "exp", json!("soon"))),
        ),
        (
            "a time in fractions",
            token(&header(), &with(claims(), "exp", json!(1.5))),
        ),
        (
            "a time before 1970",
            token(&header(), &with(claims(), "iat", json!(-1))),
        ),
        ("padding", format!("{}=", sealed(&signed))),
        ("space", format!(" {}", sealed(&signed))),
        (
            "too long",
            token(&header(), &with(claims(), "path", json!("/".repeat(LENGTH_MAX)))),
        ),
        (
            "a claim twice",
            sealed(&format!(
                "{}.{}",
                encoded(&header()),
                URL_SAFE_NO_PAD.encode(claims().to_string().replace("{\"", "{\"iat\":1,\""))
            )),
        ),
    ] {
        assert_eq!(Token::read(&text).err(), Some(Flaw::Malformed), "{what}");
    }
    for claim in ["iss", "iat", "exp", "method", "path", "body_sha256"] {
        let text = token(&header(), &with(claims(), claim, Value::Null));
        assert_eq!(Token::read(&text).err(), Some(Flaw::Malformed), "without {claim}");
    }
}

#[test]
fn a_public_key_is_one_point_that_only_its_owner_signs_for() {
    let text = public(1).to_string();
    assert_eq!(text.parse(), Ok(public(1)));
    assert_eq!(PublicKey::from_bytes(public(1).as_bytes()), Ok(public(1)));
    // The identity: every signature with a zero scalar is good by it.
    let weak = {
        let mut identity = [0; 32];
        identity[0] = 1;
        URL_SAFE_NO_PAD.encode(identity)
    };
    for bad in ["", "x", &"A".repeat(44), &format!("{text}="), &weak] {
        assert_eq!(bad.parse::<PublicKey>(), Err(NotAPublicKey), "{bad}");
    }
}

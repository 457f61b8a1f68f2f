//! Merchants show that accounts are their own, and gateways sign for single requests.

use alloy::primitives::{hex, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use facilitator::domain::tenant::MerchantId;
use facilitator::store::Store;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::limits::{Tenant, deed, shared};
use crate::support::books::books_agree;
use crate::support::contracts::addresses;
use crate::support::http::Answer;
use crate::support::payer::{NETWORK, Payment};
use crate::support::world::{Setup, World};

const NAMED: &str = "[claims]\nfacilitator = \"facilitator.example\"";

/// Whoever is paid in these worlds.
fn seller() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256("facilitator stack: the seller")).unwrap()
}

fn signed(key: &PrivateKeySigner, text: &str) -> String {
    hex::encode_prefixed(key.sign_message_sync(text.as_bytes()).unwrap().as_bytes())
}

async fn merchant(store: &Store, tenant: &Tenant) -> MerchantId {
    store.merchant_add(tenant.id, "merchant", &deed()).await.unwrap()
}

/// What the account has to sign, and when that was said.
async fn text(world: &World, tenant: &Tenant, merchant: MerchantId, account: &str) -> Answer {
    let path = format!("/v1/claims/text?merchant={merchant}&network={NETWORK}&payTo={account}");
    let headers = [("authorization", tenant.bearer.clone())];
    world.facilitator.caller().get_with(&path, &headers).await
}

async fn claim(world: &World, tenant: &Tenant, claim: &Value) -> Answer {
    let headers = [("authorization", tenant.bearer.clone())];
    let body = claim.to_string().into();
    world
        .facilitator
        .caller()
        .post_bytes("/v1/claims", &headers, body)
        .await
}

/// A claim for the account, signed by this key; a wallet takes its owner's with a byte in front.
async fn proven(
    world: &World,
    tenant: &Tenant,
    merchant: MerchantId,
    account: &str,
    sign: impl Fn(&str) -> String,
) -> Value {
    let said = text(world, tenant, merchant, account).await.json();
    let signature = sign(said["text"].as_str().unwrap());
    json!({
        "merchant": merchant.to_string(), "network": NETWORK, "payTo": account, "time": said["time"],
        "signature": signature,
    })
}

#[tokio::test]
async fn an_account_is_a_merchants_once_it_has_signed_so_and_nobody_elses() {
    let (world, store, tenants) = shared(Setup::default(), NAMED, &["ours", "theirs"]).await;
    let (ours, theirs) = (&tenants[0], &tenants[1]);
    let (mine, other) = (merchant(&store, ours).await, merchant(&store, theirs).await);
    let account = addresses().pay_to.to_string();
    assert_eq!(seller().address(), addresses().pay_to);
    let by_seller = |text: &str| signed(&seller(), text);

    // Until it is claimed, whoever has a key may have payments made there.
    theirs.settle(&world.facilitator, &Payment::by(1)).await.settled();
    let good = proven(&world, ours, mine, &account, by_seller).await;
    let answer = claim(&world, ours, &good).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["payTo"], account);
    assert_eq!(claim(&world, ours, &good).await.status, 201, "safe to repeat");
    // Remembered for two seconds that it was nobody's.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let barred = theirs.settle(&world.facilitator, &Payment::by(1)).await.outcome(403);
    assert!(barred["errorMessage"].as_str().unwrap().contains("payTo"), "{barred}");
    ours.settle(&world.facilitator, &Payment::by(1)).await.settled();

    let taken = proven(&world, theirs, other, &account, by_seller).await;
    let answer = claim(&world, theirs, &taken).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (409, &json!("account_taken"))
    );

    // A wallet with code judges for itself.
    let owner = PrivateKeySigner::from_bytes(&addresses().owner_wallet_owner_key).unwrap();
    let wallet = addresses().owner_wallet.to_string();
    let wrapped = |text: &str| format!("0x01{}", &signed(&owner, text)[2..]);
    let of_wallet = proven(&world, theirs, other, &wallet, wrapped).await;
    assert_eq!(claim(&world, theirs, &of_wallet).await.status, 201);

    let proof =
        "select count(*) from merchant_accounts where claimed_by = 'proof' and proof like '%facilitator.example%'";
    assert_eq!(world.db.one::<i64>(proof).await, 2);
    let log = "select count(*) from admin_log where entry like '%account.claim%'";
    assert_eq!(world.db.one::<i64>(log).await, 2);
    books_agree(&world).await;
}

#[tokio::test]
async fn whatever_was_not_signed_for_exactly_this_claims_nothing() {
    let (world, store, tenants) = shared(Setup::default(), NAMED, &["ours", "theirs"]).await;
    let (ours, theirs) = (&tenants[0], &tenants[1]);
    let (mine, sister, other) = (
        merchant(&store, ours).await,
        merchant(&store, ours).await,
        merchant(&store, theirs).await,
    );
    let account = addresses().pay_to.to_string();
    let good = proven(&world, ours, mine, &account, |text| signed(&seller(), text)).await;
    let with = |key: &str, value: Value| {
        let mut claim = good.clone();
        claim[key] = value;
        claim
    };
    let now: u64 = good["time"].as_str().unwrap().parse().unwrap();
    let stranger = PrivateKeySigner::from_bytes(&addresses().accounts[1].key).unwrap();
    let wallet = addresses().permissive_wallet.to_string();
    for (what, tenant, claimed, status, code) in [
        (
            "for a sister",
            ours,
            with("merchant", json!(sister.to_string())),
            403,
            "unproven",
        ),
        (
            "for another tenant's",
            ours,
            with("merchant", json!(other.to_string())),
            403,
            "unproven",
        ),
        ("by another tenant", theirs, good.clone(), 403, "unproven"),
        (
            "of another account",
            ours,
            with("payTo", json!(stranger.address().to_string())),
            403,
            "unproven",
        ),
        (
            "of a contract that is no wallet",
            ours,
            with("payTo", json!(addresses().usdc.to_string())),
            403,
            "unproven",
        ),
        ("by nobody", ours, with("signature", json!("0x")), 403, "unproven"),
        (
            "later",
            ours,
            with("time", json!((now + 1).to_string())),
            403,
            "unproven",
        ),
        (
            "too long ago",
            ours,
            with("time", json!((now - 601).to_string())),
            403,
            "unproven",
        ),
        (
            "on another network",
            ours,
            with("network", json!("eip155:1")),
            400,
            "malformed",
        ),
        ("of no account", ours, with("payTo", json!("0x12")), 400, "malformed"),
        ("of no time", ours, with("time", json!("now")), 400, "malformed"),
        ("with more", ours, with("because", json!("x")), 400, "malformed"),
    ] {
        let answer = claim(&world, tenant, &claimed).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (status, &json!(code)),
            "{what}"
        );
    }
    // A wallet that takes every signature is its own to lose, and still only a merchant of the tenant's can have it.
    let strange = proven(&world, ours, other, &wallet, |text| signed(&seller(), text)).await;
    let answer = claim(&world, ours, &strange).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!("malformed"))
    );
    assert_eq!(world.db.count("merchant_accounts").await, 0);
}

#[tokio::test]
async fn nothing_is_claimed_where_the_facilitator_has_no_name() {
    let (world, store, tenants) = shared(Setup::default(), "", &["ours"]).await;
    let merchant = merchant(&store, &tenants[0]).await;
    let account = addresses().pay_to.to_string();
    let answer = text(&world, &tenants[0], merchant, &account).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (409, &json!("claims_off"))
    );
}

/// A token for the request, by this gateway.
fn token(gateway: &SigningKey, key: &str, method: &str, path: &str, body: &[u8]) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "EdDSA", "typ": "x402-request+jwt"}));
    let claims = part(json!({
        "iss": key, "iat": now, "exp": now + 60, "method": method, "path": path,
        "body_sha256": URL_SAFE_NO_PAD.encode(Sha256::digest(body)),
    }));
    let said = format!("{header}.{claims}");
    let signature = gateway.sign(said.as_bytes()).to_bytes();
    format!("Bearer {said}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_token_stands_for_its_key_for_one_request_alone() {
    let (world, _, tenants) = shared(Setup::default(), "", &["ours"]).await;
    let (gateway, key) = (SigningKey::from_bytes(&[7; 32]), tenants[0].key.to_string());
    let public_key = URL_SAFE_NO_PAD.encode(gateway.verifying_key().as_bytes());
    let vouch = [
        "keys",
        "vouch",
        &key,
        "--public-key",
        &public_key,
        "--by",
        "olga",
        "--because",
        "asked",
    ];
    let (status, said) = world.facilitator.run("admin", &vouch).await;
    assert!(status.success(), "{said}");

    let caller = world.facilitator.caller();
    let asked = async |bearer: String, path: &str, body: &[u8]| {
        caller
            .post_bytes(path, &[("authorization", bearer)], body.to_vec())
            .await
    };
    let body = Payment::by(1).body().to_string();
    let good = token(&gateway, &key, "POST", "/settle", body.as_bytes());
    asked(good.clone(), "/settle", body.as_bytes()).await.settled();
    // Whoever reads it can only repeat the request, which settles nothing twice.
    let (reason, _) = asked(good.clone(), "/settle", body.as_bytes()).await.unsettled();
    assert_eq!(reason, "invalid_exact_evm_nonce_already_used");
    let other = Payment::by(1).body().to_string();
    let stranger = SigningKey::from_bytes(&[8; 32]);
    for (bearer, path, body, words) in [
        (good.clone(), "/settle", &other, "for another body"),
        (good.clone(), "/verify", &body, "for another path"),
        (good.clone(), "/settle?x", &body, "for another path"),
        (
            token(&gateway, &key, "GET", "/settle", body.as_bytes()),
            "/settle",
            &body,
            "for another method",
        ),
        (
            token(&stranger, &key, "POST", "/settle", body.as_bytes()),
            "/settle",
            &body,
            "not by the public key",
        ),
        (format!("{good}x"), "/settle", &body, "not a token"),
    ] {
        let answer = asked(bearer, path, body.as_bytes()).await;
        assert_eq!(answer.status, 401, "{words}");
        assert!(answer.text().contains(words), "{words}: {}", answer.text());
    }
    let path = "/v1/settlements?limit=1";
    let reading = [("authorization", token(&gateway, &key, "GET", path, b""))];
    assert_eq!(caller.get_with(path, &reading).await.status, 200);
    assert_eq!(world.db.count("payments").await, 1);
    assert!(!world.facilitator.logs().contains("eyJ"), "no token is logged");
    books_agree(&world).await;
}

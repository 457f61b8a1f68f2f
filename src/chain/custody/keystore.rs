//! A key in a file that a password opens: Ethereum's Web3 Secret Storage, version 3, as geth and foundry's `cast wallet`
//! write it (ethereum.org, "Web3 Secret Storage Definition").
//!
//! The file's password is checked before anything is decrypted: its MAC is over the derived key and the ciphertext.

use std::fmt;
use std::path::{Path, PathBuf};

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::Hmac;
use serde::Deserialize;
use sha2::Sha256;
use sha3::{Digest, Keccak256};
use zeroize::Zeroizing;

use crate::chain::Secret;

/// Bytes of a file that are read.
const FILE_MAX: u64 = 64 * 1024;

/// What deriving the key may take: 2^20 rounds of blocks are 1 GiB of memory and seconds of work; tools ask for a quarter of
/// it or less. A file that asks for more is not one of theirs.
const SCRYPT_LOG_N_MAX: u8 = 20;
const SCRYPT_R_MAX: u32 = 8;
const SCRYPT_P_MAX: u32 = 8;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// The derived key: its first half decrypts, its second is the MAC's.
const DERIVED_BYTES: usize = 32;

/// The file and its password.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address that the key must have.
    pub address: String,
    /// Where the file is.
    pub path: PathBuf,
    /// The password, most often `{ file = "…" }`.
    pub password: Secret,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystore")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct File {
    version: u32,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
}

#[derive(Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    #[serde(flatten)]
    kdf: Kdf,
    mac: String,
}

#[derive(Deserialize)]
struct CipherParams {
    iv: String,
}

#[derive(Deserialize)]
#[serde(tag = "kdf", content = "kdfparams", rename_all = "lowercase")]
enum Kdf {
    Scrypt {
        dklen: usize,
        n: u32,
        r: u32,
        p: u32,
        salt: String,
    },
    Pbkdf2 {
        dklen: usize,
        c: u32,
        prf: String,
        salt: String,
    },
}

impl Settings {
    /// The key in the file. Takes as long and as much memory as the file says, a second and 256 MiB with most tools.
    ///
    /// # Errors
    /// What is wrong with the file or the password, repeating neither.
    pub(in crate::chain) fn open(&self) -> Result<Zeroizing<[u8; 32]>, String> {
        decrypted(&read(&self.path)?, self.password.expose())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("path: the file cannot be read: {}", error.kind());
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_MAX {
        return Err("path: the file is no keystore: it has more than 64 KiB".to_owned());
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn decrypted(text: &str, password: &str) -> Result<Zeroizing<[u8; 32]>, String> {
    const EXPECTED: &str =
        "path: expected a keystore of version 3, its cipher aes-128-ctr and its kdf scrypt or pbkdf2";
    let expected = || EXPECTED.to_owned();
    let file: File = serde_json::from_str(text).map_err(|_| expected())?;
    let crypto = file.crypto;
    let bytes = |text: &str| hex::decode(text).map_err(|_| expected());
    if file.version != 3 || crypto.cipher != "aes-128-ctr" {
        return Err(expected());
    }
    let derived = crypto.kdf.derive(password).ok_or_else(expected)?;
    let ciphertext = bytes(&crypto.ciphertext)?;
    let (cipher_key, mac_key) = derived.split_at(16);
    let mac = Keccak256::new()
        .chain_update(mac_key)
        .chain_update(&ciphertext)
        .finalize();
    if mac.as_slice() != bytes(&crypto.mac)? {
        return Err("password: it does not open the keystore".to_owned());
    }
    let iv = bytes(&crypto.cipherparams.iv)?;
    let mut cipher = Ctr128BE::<Aes128>::new_from_slices(cipher_key, &iv).map_err(|_| expected())?;
    let mut key = Zeroizing::new(<[u8; 32]>::try_from(ciphertext.as_slice()).map_err(|_| expected())?);
    cipher.apply_keystream(&mut *key);
    Ok(key)
}

impl Kdf {
    /// The key of this password; none where the parameters are out of bounds.
    fn derive(&self, password: &str) -> Option<Zeroizing<[u8; DERIVED_BYTES]>> {
        let mut derived = Zeroizing::new([0; DERIVED_BYTES]);
        match self {
            Self::Scrypt { dklen, n, r, p, salt } => {
                let log_n = u8::try_from(n.checked_ilog2()?).ok()?;
                let is_fit = n.is_power_of_two()
                    && log_n <= SCRYPT_LOG_N_MAX
                    && *r <= SCRYPT_R_MAX
                    && *p <= SCRYPT_P_MAX
                    && *dklen == DERIVED_BYTES;
                let params = is_fit.then(|| scrypt::Params::new(log_n, *r, *p, DERIVED_BYTES).ok())??;
                scrypt::scrypt(password.as_bytes(), &hex::decode(salt).ok()?, &params, &mut *derived).ok()?;
            }
            Self::Pbkdf2 { dklen, c, prf, salt } => {
                let is_fit = prf == "hmac-sha256" && (1..=PBKDF2_ROUNDS_MAX).contains(c) && *dklen == DERIVED_BYTES;
                let salt = is_fit.then(|| hex::decode(salt).ok())??;
                pbkdf2::pbkdf2::<Hmac<Sha256>>(password.as_bytes(), &salt, *c, &mut *derived).ok()?;
            }
        }
        Some(derived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition's own test vector for PBKDF2, and the same key as tools write it with scrypt (r is 8, as theirs; the
    /// definition's own has parameters that RFC 7914 does not allow). Computed with Python's hashlib and cryptography.
    const PBKDF2: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
        "kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256",
            "salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
        "mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    const SCRYPT: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext":"584f4eb2783472ec149b334c22d77ddbf118a0783ea24e66ca8a7883cd2b4bf5","kdf":"scrypt",
        "kdfparams":{"dklen":32,"n":4096,"p":6,"r":8,
            "salt":"ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
        "mac":"860ad3ce9642f99d709abc696e25ede7cd35daf6a6041e975d14c53dae118886"},
        "id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;
    const PASSWORD: &str = "testpassword";
    const KEY: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

    #[test]
    fn files_of_the_definition_are_opened() {
        for file in [PBKDF2, SCRYPT] {
            assert_eq!(hex::encode(*decrypted(file, PASSWORD).unwrap()), KEY);
        }
        let old_spelling = PBKDF2.replacen("crypto", "Crypto", 1);
        assert!(decrypted(&old_spelling, PASSWORD).is_ok());
    }

    #[test]
    fn nothing_else_is_opened_or_repeated() {
        let cases = [
            ("another password", PBKDF2.to_owned(), "secret", "password:"),
            ("no JSON", "secret".into(), PASSWORD, "path:"),
            (
                "another version",
                PBKDF2.replace("\"version\":3", "\"version\":1"),
                PASSWORD,
                "path:",
            ),
            (
                "another cipher",
                PBKDF2.replace("aes-128-ctr", "aes-128-cbc"),
                PASSWORD,
                "path:",
            ),
            ("another kdf", PBKDF2.replace("pbkdf2", "argon2"), PASSWORD, "path:"),
            (
                "another prf",
                PBKDF2.replace("hmac-sha256", "hmac-sha1"),
                PASSWORD,
                "path:",
            ),
            (
                "no end of work",
                PBKDF2.replace("262144", "4000000000"),
                PASSWORD,
                "path:",
            ),
            (
                "no end of memory",
                SCRYPT.replace("4096", "2147483648"),
                PASSWORD,
                "path:",
            ),
            ("an odd n", SCRYPT.replace("4096", "4095"), PASSWORD, "path:"),
            (
                "a changed ciphertext",
                PBKDF2.replace("5318b4", "5318b5"),
                PASSWORD,
                "password:",
            ),
            ("a short iv", PBKDF2.replace("6087dab2", ""), PASSWORD, "path:"),
        ];
        for (what, file, password, complaint) in cases {
            let error = decrypted(&file, password).unwrap_err();
            assert!(
                error.starts_with(complaint) && !error.contains("secret"),
                "{what}: {error}"
            );
        }
    }
}

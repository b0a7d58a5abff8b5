//! How many signatures per second `verify_batch` of ed25519-dalek verifies on this core, 1,024 at a time, over 64-byte
//! digests by 48 signers in turn, like the statements of the ingest benchmark.

use std::time::Instant;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, verify_batch};

const BATCH: u64 = 1024;
const ROUNDS: u32 = 64;
const SIGNERS: u8 = 48;

fn main() -> Result<(), ed25519_dalek::SignatureError> {
    let keys: Vec<SigningKey> = (1..=SIGNERS).map(|number| SigningKey::from_bytes(&[number; 32])).collect();
    let messages: Vec<Vec<u8>> = (0..BATCH).map(|number| number.to_be_bytes().repeat(8)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let signed = || messages.iter().zip(keys.iter().cycle());
    let signatures: Vec<Signature> = signed().map(|(message, key)| key.sign(message)).collect();
    let verifiers: Vec<VerifyingKey> = signed().map(|(_, key)| key.verifying_key()).collect();
    let began = Instant::now();
    for _ in 0..ROUNDS {
        verify_batch(&messages, &signatures, &verifiers)?;
    }
    println!("{:.0}", f64::from(ROUNDS) * messages.len() as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

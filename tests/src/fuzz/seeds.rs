//! Initial inputs made from the test vectors: valid input, from which mutation leads to almost valid input.

use std::collections::BTreeSet;
use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use ics_core::log::Hash;
use ics_core::log::checkpoint::Origin;
use ics_core::statement::detached;
use ics_core::time::Timestamp;
use ics_sync::bundle::{BundleWriter, Earlier, Head, Party};
use ics_sync::news::News;
use ics_sync::packed::{compress, pack};
use ics_sync::wire::{Base64, Heads, Page, Submission};
use ics_sync::witness::AddCheckpoint;
use serde_json::Value;

/// All seeds for a target: every text of the vectors, as it is and decoded if it is base64 or hex, and every object
/// that such a target takes as JSON.
///
/// # Panics
/// When the vectors cannot be read.
#[must_use]
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for (file, wanted) in wanted(target) {
        collect(&vectors(file), None, wanted, &mut found);
    }
    if target == "document" {
        // The signed documents, taken from the messages around them.
        found = found.iter().filter_map(|body| detached(body)).map(|(document, _)| document.to_vec()).collect();
    }
    found.extend(encoded(target).iter().filter_map(|text| BASE64.decode(text.as_bytes()).ok()));
    found.extend(spoken(target).iter().map(|text| text.as_bytes().to_vec()));
    found.extend(in_pem(target, &found));
    found.extend(ldap(target));
    if target == "batch" {
        found.extend(super::carried::batches(&seeds("descriptor")).unwrap_or_default());
    }
    if target == "bundle" {
        found.extend(bundles());
    }
    if target == "case" {
        found.extend(super::case::seeds(&vectors("evidence")).into_iter().flatten());
    }
    if target == "feed" {
        found.extend(events(&found));
    }
    if target == "note" {
        found.extend(asking_a_witness(&found));
    }
    if target == "proof" {
        found.extend(proofs(&vectors("log")).unwrap_or_default());
    }
    if target == "packed" {
        let pages = seeds("feed").into_iter().filter_map(|json| Page::decode(&json).ok());
        let pages: Vec<Vec<u8>> = pages.map(|page| pack(&page)).collect();
        found.extend(pages.iter().filter_map(|page| compress(page)));
        found.extend(pages);
    }
    found.into_iter().collect()
}

/// News as a peer pushes it: each page, a checkpoint, and what is said of watched things.
fn events(found: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let pages = found.iter().filter_map(|json| Page::decode(json).ok());
    let mut events: Vec<Vec<u8>> = pages.map(|page| News::Page(page).to_event(2)).collect();
    events.push(News::Checkpoint("a signed note".to_owned()).to_event(2));
    events.extend(found.iter().filter_map(|json| Heads::decode(json).ok()).map(|heads| heads.to_event()));
    events
}

/// What a home asks a witness to cosign: notes that are the first of their log, and notes with a proof.
fn asking_a_witness(found: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let notes = found.iter().filter_map(|note| String::from_utf8(note.clone()).ok());
    let asking = |(old, checkpoint): (u64, String)| {
        let proof = vec![Hash([7; 32]); usize::from(old > 0)];
        AddCheckpoint { old, proof, checkpoint }.to_string().into_bytes()
    };
    notes.flat_map(|note| [(0, note.clone()), (1, note)]).map(asking).collect()
}

/// The proofs of the vectors as [`super::log::proof`] reads them: two numbers, two hashes, and the path between these.
fn proofs(vectors: &Value) -> Option<Vec<Vec<u8>>> {
    let (tree, entries) = (vectors.get("tree")?, vectors.get("entries")?.as_array()?);
    let roots = tree.get("roots")?.as_array()?;
    let number = |proof: &Value, member: &str| proof.get(member).and_then(Value::as_u64);
    let at = |list: &[Value], place: u64| usize::try_from(place).ok().and_then(|place| list.get(place).cloned());
    let hex = |hash: &Value| HEXLOWER.decode(hash.as_str()?.as_bytes()).ok();
    let path = |proof: &Value| -> Option<Vec<u8>> {
        let hashes = proof.get("proof")?.as_array()?.iter().map(|it| BASE64.decode(it.as_str()?.as_bytes()).ok());
        Some(hashes.collect::<Option<Vec<_>>>()?.concat())
    };
    let written = |first: u64, second: u64, hashes: [Vec<u8>; 2], path: Vec<u8>| {
        [&first.to_be_bytes()[..], &second.to_be_bytes(), &hashes.concat(), &path].concat()
    };
    let inclusion = |proof: &Value| {
        let (index, size) = (number(proof, "index")?, number(proof, "size")?);
        let leaf = hex(at(entries, index)?.get("leaf_hash")?)?;
        Some(written(index, size, [leaf, hex(&at(roots, size)?)?], path(proof)?))
    };
    let consistency = |proof: &Value| {
        let (old, new) = (number(proof, "old")?, number(proof, "new")?);
        Some(written(old, new, [hex(&at(roots, old)?)?, hex(&at(roots, new)?)?], path(proof)?))
    };
    let included = tree.get("inclusion")?.as_array()?.iter().map(inclusion);
    included.chain(tree.get("consistency")?.as_array()?.iter().map(consistency)).collect()
}

/// Bundles with one page each, without their last part: see [`super::outer::bundle`].
fn bundles() -> Vec<Vec<u8>> {
    let party = |name: &str| Party { name: name.to_owned(), key: String::new() };
    let head = Head { from: party("a.example"), to: party("b.example"), made_at: Timestamp::default() };
    let origin = format!("a.example/{}", "0".repeat(64)).parse::<Origin>();
    let note = |size: u64| {
        format!(
            "a.example/{}\n{size}\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\u{2014} a.example AAAAAAAA\n",
            "0".repeat(64)
        )
    };
    let pages: Vec<Page> = seeds("feed").into_iter().filter_map(|json| Page::decode(&json).ok()).collect();
    let bundle = |page: &Page| {
        let mut writer = BundleWriter::begin(Vec::new(), &head).ok()?;
        writer.domain(origin.as_ref().ok()?).ok()?;
        writer.checkpoint(&note(page.size)).ok()?;
        writer.page(page).ok()?;
        writer.earlier(&Earlier { indices: vec![0], entries: page.entries.iter().take(1).cloned().collect() }).ok()?;
        writer.submission(&Submission { statements: vec![Base64(b"body".to_vec())] }).ok()?;
        let mut bytes = writer.finish().ok()?;
        bytes.truncate(bytes.len().saturating_sub(34));
        Some(bytes)
    };
    pages.iter().filter_map(bundle).collect()
}

/// The members of the vectors that are input for a target.
fn wanted(target: &str) -> &'static [(&'static str, &'static [&'static str])] {
    match target {
        "body" | "certificate" | "upload" => &[("statements", &["body"]), ("records", &["body"])],
        "descriptor" => &[("policy", &["json"])],
        "document" => &[("statements", &["body"])],
        "entry" => &[("log", &["header", "base64"]), ("records", &["header"])],
        "evidence" => &[("evidence", &["evidence"])],
        "feed" | "http" => &[("log", &["receipt", "source"])],
        "note" => &[("log", &["checkpoint", "cosigned", "witnessed"])],
        "proof" => &[("log", &["tlog_proof"])],
        "record_head" => &[("log", &["identity", "nothing_for_anybody", "nothing_for_a_key"])],
        "spki" => &[("statements", &["spki"])],
        "trust" => &[("policy", &["vouched", "labelled", "software"])],
        "words" => &[("log", &["origin", "home_key", "path", "time"]), ("statements", &["fingerprint", "id"])],
        _ => &[],
    }
}

/// Input that no vector contains.
fn spoken(target: &str) -> &'static [&'static str] {
    match target {
        "acme" => &[
            r#"{"protected":"eyJhbGciOiJFZERTQSIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS94IiwiandrIjp7Imt0eSI6Ik9LUCIsImNydiI6IkVkMjU1MTkiLCJ4IjoiMTFxWUFZS3hDcmZWU183VHlXUUhPZzdoY3ZQYXBpTWxyd0lhYVBjSFVSbyJ9fQ","payload":"eyJjb250YWN0IjpbIm1haWx0bzphQGIuZXhhbXBsZSJdfQ","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"{"protected":"eyJhbGciOiJFUzI1NiIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS94Iiwia2lkIjoiaHR0cHM6Ly9jYS5leGFtcGxlL2FjbWUvZGV2aWNlcy5hY21lLmV4YW1wbGUvYWNjb3VudC8xIn0","payload":"eyJpZGVudGlmaWVycyI6W3sidHlwZSI6ImRucyIsInZhbHVlIjoiYS5leGFtcGxlIn0seyJ0eXBlIjoicGVybWFuZW50LWlkZW50aWZpZXIiLCJ2YWx1ZSI6InVybjpkZXY6b3M6MS0yIn1dfQ","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"{"protected":"eyJhbGciOiJFUzI1NiIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS9hY21lL2RldmljZXMuYWNtZS5leGFtcGxlL25ldy1hY2NvdW50IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiNjJfQTdQTlI3Tnl0VU5CV29nR0U2T0wxWkJ5SFV1TDJyZ25oZVJLVHJ1YyIsInkiOiJOMlFGYk80QlFhV1lRWUJTU3NZdjZ4SGVrVmEzWE95c2lfSENvNVU0bGNvIn19","payload":"eyJ0ZXJtc09mU2VydmljZUFncmVlZCI6dHJ1ZSwiY29udGFjdCI6WyJtYWlsdG86YUBiLmV4YW1wbGUiXSwiZXh0ZXJuYWxBY2NvdW50QmluZGluZyI6eyJwcm90ZWN0ZWQiOiJleUpoYkdjaU9pSklVekkxTmlJc0ltdHBaQ0k2SW1OeVpXUmxiblJwWVd3dE1TSXNJblZ5YkNJNkltaDBkSEJ6T2k4dlkyRXVaWGhoYlhCc1pTOWhZMjFsTDJSbGRtbGpaWE11WVdOdFpTNWxlR0Z0Y0d4bEwyNWxkeTFoWTJOdmRXNTBJbjAiLCJwYXlsb2FkIjoiZXlKcmRIa2lPaUpGUXlJc0ltTnlkaUk2SWxBdE1qVTJJaXdpZUNJNklqWXlYMEUzVUU1U04wNTVkRlZPUWxkdlowZEZOazlNTVZwQ2VVaFZkVXd5Y21kdWFHVlNTMVJ5ZFdNaUxDSjVJam9pVGpKUlJtSlBORUpSWVZkWlVWbENVMU56V1hZMmVFaGxhMVpoTTFoUGVYTnBYMGhEYnpWVk5HeGpieUo5Iiwic2lnbmF0dXJlIjoiZnhKOGlKY1lNdzRaQUczWnY4eGcyRVVNOGRIZnR0dk1mZUFYWFZhaFE2byJ9fQ","signature":"XjbptkIfgb4HPuCCkI_AhLdUQ74VRBx-aqLXdofnbLsqOpE0y0PwiJYqYgTjhRDz6jepc6vo8TwQceXDj3Oe5Q"}"#,
            r#"{"protected":"eyJhbGciOiJFUzI1NiIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS9hY21lL2RldmljZXMuYWNtZS5leGFtcGxlL2tleS1jaGFuZ2UiLCJraWQiOiJodHRwczovL2NhLmV4YW1wbGUvYWNtZS9kZXZpY2VzLmFjbWUuZXhhbXBsZS9hY2NvdW50LzEifQ","payload":"eyJwcm90ZWN0ZWQiOiJleUpoYkdjaU9pSkZVekkxTmlJc0luVnliQ0k2SW1oMGRIQnpPaTh2WTJFdVpYaGhiWEJzWlM5aFkyMWxMMlJsZG1salpYTXVZV050WlM1bGVHRnRjR3hsTDJ0bGVTMWphR0Z1WjJVaUxDSnFkMnNpT25zaWEzUjVJam9pUlVNaUxDSmpjbllpT2lKUUxUSTFOaUlzSW5naU9pSm5hRzVmVldZeVJsTm9TMUZVTWpWalRVTTRkV014VnpCVGVFdzFabWhNWTBkSFVYUlRUa3RhWW1aeklpd2llU0k2SWxOdldWa3hZVWxZTmtsTFVsWkNRVVl4VVROU2RHTlhjblZOTFVsRldEVmhUMDk0WkhVMU0zWjZXVzhpZlgwIiwicGF5bG9hZCI6ImV5SmhZMk52ZFc1MElqb2lhSFIwY0hNNkx5OWpZUzVsZUdGdGNHeGxMMkZqYldVdlpHVjJhV05sY3k1aFkyMWxMbVY0WVcxd2JHVXZZV05qYjNWdWRDOHhJaXdpYjJ4a1MyVjVJanA3SW10MGVTSTZJa1ZESWl3aVkzSjJJam9pVUMweU5UWWlMQ0o0SWpvaU5qSmZRVGRRVGxJM1RubDBWVTVDVjI5blIwVTJUMHd4V2tKNVNGVjFUREp5WjI1b1pWSkxWSEoxWXlJc0lua2lPaUpPTWxGR1lrODBRbEZoVjFsUldVSlRVM05aZGpaNFNHVnJWbUV6V0U5NWMybGZTRU52TlZVMGJHTnZJbjE5Iiwic2lnbmF0dXJlIjoiczRITGpGTXByVlI2b2JMeG9VNzR1VkxPUFhCNVljVkhLLWQ0UHVhS0ozbUxUMGt2YnZjNk1DUUhva3hmX2hRaWYzN2p5QTRRY1A5OElvdTFHWjFPTGcifQ","signature":"9UHvEXgVlq7LQUqU5hxpw1jsUVk73-Of6a5MLZnFekXogaMdsmIqPgB08z2iani3K-EFTAMR39zn15_skq81pw"}"#,
            r#"{"protected":"eyJhbGciOiJSUzI1NiIsIm5vbmNlIjoiQUFBQSIsInVybCI6Imh0dHBzOi8vY2EuZXhhbXBsZS9hY21lL2RldmljZXMuYWNtZS5leGFtcGxlL25ldy1hY2NvdW50IiwiandrIjp7Imt0eSI6IlJTQSIsIm4iOiJreV9RcXFydTZqWFQ4d2M4aHRrTHVWTHlvTk16cko2NUJUZGtVOUtaejZRUVVnaFNaM0gwUFh4cjZUM0JVQmdfcE5tUXFYR0FOTjhiNzJlU2ZkUjVTVURsRVFpaDdsZVBCOHlMbzQ0UDVNcUVxdFJwZlpvLURUQmRPeERSRmZJNlhIX0VkLXdqMmlqZXkyWWpoUm40REM4WFVfTWZSajItTjNQOVJGanJFZDIybTR5Q0ZPdVQwSDZoNTFmWmRiaGxxNkwxVEVpdFFwMXhjVHI5ejN1Q2FIR2dSc2M2RzNjSUk5UHdEN3A2Y1hYNFZQWTU1X0ZrTnZnbXFzWEN6a1Njb0psMEhhRzhLN2FxT3k3ZV82VkRSV3dRSkdnQjFiTTA5ZzRTcU1qVno4N1J3VUI1OG4yWUlEdllMWUR6TDdYMXhqWkl5TE9mU1ZJR2QtazZGM0g5eHciLCJlIjoiQVFBQiJ9fQ","payload":"eyJvbmx5UmV0dXJuRXhpc3RpbmciOnRydWV9","signature":"OUEgJ7bUucKpX8V-Wswn6YW-qEQBm1ACVyR39Le6alc-zmfex_fNKhic7Xnv4Bdz0A7OMcRlPvP9ObIkr7gKZmXCBE7SqeeucTfGj22oOEiP1mmLZb_dHKgkjLz3gTRMimRkN-TDme5ewLB3xe1MNmWOtNM1mMzcT8z562Mc7VchSz99GyPnd6O0ElCgK_E5Xty2MKrFVt-QH4OLzApZeOh2MUioz8-gZBOidydlTA17UtnpeNCtppl0wREKmHwFpewVBfiUTxHG8DCkwSbQuI1zwCsUGcuh8ZkDpeKLhnaDpHqV02y9hYGZ5kblCsrh1GGXHWZoWdSXO8Sfv4R7hQ"}"#,
        ],
        "cms" => &[
            "untrusted comment: signature\nRURi19ng4G88yGw2+fBddvJIp0Aqim8qRR6X4OzZvL1htAiTHxy9ChR1brfBx+fKQRSGigvnKdsgcepnbOQP/K9lpM0kNYi69QM=\ntrusted comment: version 7\n6YS33t3pS93fSJn9Kjd9NcEzbxH9JaojtXZ8VWYEgpxqGgvrrXDtU5H+l9XAuHS2UbBtDPOi3CXaRL6B/W/qCA==\n",
            "untrusted comment: signature\nRWRi19ng4G88yDQ6yIE5HZshMupKqDaJGFXcPOb/AMpLc0xMx0OriK6RKRUs2Lb/k2DBmfoA9BmUVVRPUv4+51DOn8MzSsjO+Ac=\ntrusted comment: version 7\n6P+V9FbUaF04RYRfGagA7bNn3oY5ZzdDKrTGBZhDIs/fMDjH6IBPULJqZ/nQqpKvoUkE9jFYasHkHqE5S0vKAw==\n",
            "untrusted comment: verify with s.pub\nRWTIu55ho5eKELlCbnVyKDoWb4ZijV26lMbGY44Mb9+Et2kIaxAbDFnPnLhkIElmpOySfaj+ljZ4c0+iLe4H+UQ45wqssdCPaQQ=\n",
        ],
        "csv" => &[
            "serial,model,lot,urn\nSN-1,\"Pump, 7\",L1,urn:dev:mac:0024befffe804ff1\nSN-2,P8,,\n",
            "key,kind,name,serial,host,urn,replaces,from,until,manu,qty\r\nk.pem,device,\"The \"\"7\"\"\",SN 1,p.acme.example,urn:a:1 urn:a:2,38cd1a9dd104847af32f938a3f205349bffad80a,2026-01-01T00:00:00Z,2027-01-01T00:00:00Z,Acme,3\r\n",
            "serial,model\nSN-1,\"over\nlines\"\nSN-2\nSN-3,P8,too many\n",
            "serial,name\nSN-1,\"never closed\nSN-2,\n",
        ],
        "document" => &[
            r#"{"erasure":{"domain":"devices.acme.example","statement":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}}"#,
        ],
        "feed" => &[
            r#"{"from":0,"size":2,"entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},{"header":"AQEAAAGbdtq3oAA=","salt":"BAUGBwABAgMMDQ4PCAkKCw==","body":"Ym9keQ=="}],"proof":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],"checkpoint":"a\n"}"#,
            r#"{"from":1,"entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}"#,
            r#"{"question":1,"rights":"AAAAAAAAAAAAAAAAAAAAAA==","entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"earlier":[0],"lost":[1]}"#,
            r#"{"upto":2,"size":3,"heads":["a signed note"],"rights":"AAAAAAAAAAAAAAAAAAAAAA=="}"#,
            r#"{"evidence":{"version":1,"id":"38cd1a9dd104847af32f938a3f205349bffad80a","domain":"devices.acme.example","checkpoint":"","entries":[]},"consistency":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}"#,
            r#"{"refused":[{"body":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","problem":{"status":422}}]}"#,
            r#"{"from":1,"size":3,"entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","erased":"AAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBDjNGp3RBIR68y+Tij8gU0m/+tgK"},{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"proof":[],"sight":{"rights":"AAAAAAAAAAAAAAAAAAAAAA==","earlier":[0]}}"#,
            r#"{"results":[{"problem":{"status":422}}]}"#,
            r#"{"domain":"devices.acme.example","origin":"devices.acme.example/5636206c0cdced54205f03567c66fe5be4102362d47feba78155c266df7fd5a2","home":{"name":"home.acme.example","key":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="},"verifier_key":"devices.acme.example/5636206c0cdced54205f03567c66fe5be4102362d47feba78155c266df7fd5a2+855f52e2+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c","descriptor":1,"size":3}"#,
        ],
        "http" => &[
            r#"{"statements":["Ym9keQ=="]}"#,
            r#"{"certificate":"Ym9keQ==","kind":"device","names":["serial:SN-1"],"attributes":{"model":"P-7"}}"#,
            r#"{"source":"devices.acme.example","ids":["38cd1a9dd104847af32f938a3f205349bffad80a"],"model":"P-7","lot":null}"#,
            r#"{"until":"2026-01-01T00:00:00.123Z"}"#,
            r#"{"questions":[{"id":"serial:SN-1","use":"connect","peer":"serial:SN-2"},{"id":"serial:SN-3","use":"operate"}]}"#,
            r#"{"id":"serial:SN-1"}"#,
            r#"{"nonce":"AAAA","signature":"Ym9keQ=="}"#,
            r#"{"ids":["38cd1a9dd104847af32f938a3f205349bffad80a"],"choices":[{"model":"P-7"},{"lot":"L1"}],"from":7,"wait":30}"#,
            r#"{"question":1,"hidden":[0,2],"held":[1]}"#,
            r#"{"name":"home.acme.example","url":"https://ics.acme.example","key":"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=","mirror":["devices.acme.example/5636206c0cdced54205f03567c66fe5be4102362d47feba78155c266df7fd5a2"]}"#,
            r#""begin""#,
            r#"{"checkpoint":"a signed note"}"#,
            r#"{"missing":"the bundle has no such page"}"#,
            r#"{"page":{"from":0,"size":2,"entries":[{"leaf":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"proof":[],"checkpoint":"a\n"}}"#,
            r#"{"shown":{"question":1,"rights":"AAAAAAAAAAAAAAAAAAAAAA==","entries":[],"earlier":[0],"lost":[1]}}"#,
            r#"{"refused":{"refused":[{"body":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","problem":{"status":422}}]}}"#,
            r#"{"descriptors":{"from":1,"entries":[]}}"#,
        ],
        "ldap_cookie" => &[
            "rid=001",
            "rid=007,sid=001,csn=20261126024000.007000Z#000001#001#000002;20261126024002.007001Z#0123ab#801#000000",
            "ics devices.acme.example/5f2c3ab1904f6dd1e0c7b8a92e6d4b5c8f7a1029384756abcdef001122334455 7 13",
        ],
        "ldap_name" => &[
            "icsStatement=2cf2,icsIdentity=38cd1a9dd104847af32f938a3f205349bffad80a,icsDomain=devices.acme.example,o=ics",
            "OU = PGP  Keys ; O=Ics",
            r"cn=a\,b\2Cc\ ,o=\C3\A9t\C3\A9",
        ],
        "ndjson" => &[
            "{\"serial\":\"SN-1\",\"urn\":[\"urn:a:1\",\"urn:a:2\"],\"qty\":3}\n\n{\"model\":null}\n",
            "{\"key\":\"k.pem\",\"kind\":\"device\",\"host\":\"p.acme.example\",\"replaces\":\"38cd1a9dd104847af32f938a3f205349bffad80a\",\"until\":\"2027-01-01T00:00:00Z\"}",
            "{\"serial\":{}}\nno object\n{\"serial\":\"SN-2\"}\n",
        ],
        "sw_description" => &[
            "software = {\n  version = \"7\"; # the new one\n  /* for both */ stable: { copy1: { images: ({ filename = \"root.img\"; sha256 = \"2c26b46b68ffc68ff99b453c1d304134\" \"13422d706483bfa0f98a5e886266e7ae\"; size = 0x10L; }); }; };\n};\n",
            "{\"software\":{\"version\":\"7\",\"files\":[{\"filename\":\"app\",\"sha256\":\"2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"}]}}",
        ],
        "words" => &[
            "2026-01-01T00:00:00.123Z",
            "openpgp4fpr:38cd1a9dd104847af32f938a3f205349bffad80a",
            "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk",
            "urn:dev:mac:0024befffe804ff1",
            "serial:SN-1",
            "tile/7/x018/x446/744.p/3",
            "https://ics.acme.example:8443/",
        ],
        _ => &[],
    }
}

/// What of this is DER, as text in which it is passed on (RFC 7468); certificates as a chain of two.
fn in_pem(target: &str, found: &BTreeSet<Vec<u8>>) -> Vec<Vec<u8>> {
    let (label, times) = match target {
        "cms" => ("CMS", 1),
        "spki" => ("PUBLIC KEY", 1),
        "x509" => ("CERTIFICATE", 2),
        _ => return Vec::new(),
    };
    let pem = |der: &Vec<u8>| {
        let base64 = BASE64.encode(der);
        let lines = base64.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
        let text = format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>());
        text.repeat(times).into_bytes()
    };
    // A SEQUENCE, and no digit at the beginning of a text.
    found.iter().filter(|bytes| bytes.first() == Some(&0x30) && !bytes.is_ascii()).map(pem).collect()
}

/// BER as sent by clients and peers.
fn ldap(target: &str) -> Vec<Vec<u8>> {
    let equality = element(0xa3, &[text("icsStatus"), text("stolen")]);
    let present = element(0x87, &[b"objectClass".to_vec()]);
    let part = element(0x30, &[element(0x80, &[b"Ther".to_vec()]), element(0x82, &[b"13".to_vec()])]);
    let filters = vec![
        element(0xa0, &[equality.clone(), element(0xa2, core::slice::from_ref(&present))]),
        element(0xa1, &[present.clone(), element(0xa4, &[text("cn"), part])]),
        element(0xa5, &[text("icsAsOfSize"), text("7")]),
        element(
            0xa9,
            &[
                element(0x81, &[b"caseExactMatch".to_vec()]),
                element(0x82, &[b"cn".to_vec()]),
                element(0x83, &[b"x".to_vec()]),
            ],
        ),
    ];
    let result = [element(10, &[vec![0]]), text(""), text("")];
    match target {
        "ldap_filter" => filters,
        "ldap_message" => requests(&filters, &equality),
        "ldap_answer" => {
            let attribute = element(0x30, &[text("icsIndex"), element(0x31, &[text("7")])]);
            let entry = element(0x64, &[text("icsIndex=7,cn=Log"), element(0x30, &[attribute])]);
            let state = element(0x30, &[element(10, &[vec![1]]), element(4, &[vec![7; 16]])]);
            let control = element(0xa0, &[element(0x30, &[text("1.3.6.1.4.1.4203.1.9.1.2"), element(4, &[state])])]);
            let info = element(
                0x79,
                &[element(0x80, &[b"1.3.6.1.4.1.4203.1.9.1.4".to_vec()]), element(0x81, &[vec![0x80, 1, 7]])],
            );
            vec![
                element(0x30, &[element(2, &[vec![7]]), entry, control]),
                message(element(0x65, &result)),
                message(info),
            ]
        }
        _ => Vec::new(),
    }
}

fn element(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    ics_sync::ber::primitive(&mut out, tag, &parts.concat());
    out
}

fn text(text: &str) -> Vec<u8> {
    element(4, &[text.as_bytes().to_vec()])
}

fn message(operation: Vec<u8>) -> Vec<u8> {
    element(0x30, &[element(2, &[vec![7]]), operation])
}

/// Each request that clients make of the directory, and searches with these filters.
fn requests(filters: &[Vec<u8>], equality: &[u8]) -> Vec<Vec<u8>> {
    let paged = element(0x30, &[element(2, &[vec![5]]), text("")]);
    let control = element(0x30, &[text("1.2.840.113556.1.4.319"), element(4, &[paged])]);
    let search = super::ldap::search(equality);
    let mut all: Vec<Vec<u8>> = filters.iter().map(|filter| super::ldap::search(filter)).collect();
    all.push(search);
    let bind = element(0x60, &[element(2, &[vec![3]]), text("cn=operator,o=ics"), element(0x80, &[b"x".to_vec()])]);
    let who = element(0x77, &[element(0x80, &[b"1.3.6.1.4.1.4203.1.11.3".to_vec()])]);
    let compare = element(0x6e, &[text("o=ics"), element(0x30, &[text("o"), text("ics")])]);
    let key = "pgpCertID=0123456789ABCDEF,ou=PGP Keys,o=ics";
    let attribute = element(0x30, &[text("pgpKey"), element(0x31, &[text("x")])]);
    let add = element(0x68, &[text(key), element(0x30, core::slice::from_ref(&attribute))]);
    let change = element(0x30, &[element(10, &[vec![2]]), attribute]);
    let modify = element(0x66, &[text(key), element(0x30, &[change])]);
    let delete = element(0x4a, &[key.as_bytes().to_vec()]);
    let rename = element(0x6c, &[text("cn=a,o=ics"), text("cn=b"), element(1, &[vec![0xff]])]);
    let (abandon, unbind) = (element(0x50, &[vec![6]]), element(0x42, &[]));
    all.extend([bind.clone(), who, compare, add, modify, rename, delete, abandon, unbind].map(message));
    all.push(element(0x30, &[element(2, &[vec![7]]), bind, element(0xa0, &[control])]));
    // To be kept in step (RFC 4533): a search with a control behind it.
    let wanted = element(0x30, &[element(10, &[vec![3]]), text("rid=001"), element(1, &[vec![0xff]])]);
    let critical = element(1, &[vec![0xff]]);
    let sync = element(0x30, &[text("1.3.6.1.4.1.4203.1.9.1.1"), critical, element(4, &[wanted])]);
    let follow = |search: &Vec<u8>| {
        let (_, content, _) = ics_sync::ber::split(search).ok()?;
        Some(element(0x30, &[content.to_vec(), element(0xa0, core::slice::from_ref(&sync))]))
    };
    let followed: Vec<Vec<u8>> = all.first().and_then(follow).into_iter().collect();
    all.extend(followed);
    all
}

/// Input made by openssl and Python's cryptography package, DER in base64. What CMP messages replace and revoke has a
/// number such as are given here.
fn encoded(target: &str) -> &'static [&'static str] {
    match target {
        "cms" => &[
            "MIIDIwYJKoZIhvcNAQcCoIIDFDCCAxACAQExDTALBglghkgBZQMEAgEwCwYJKoZIhvcNAQcBoIIBcjCCAW4wggEVoAMCAQICFGy1P97aLyfdiaQYDYvk/+bZb64BMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAWEwIBcNMjYxMTI2MTAwODEzWhgPMjEyNjExMDIxMDA4MTNaMAwxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAR1Hut/Rq36wr+AgogvtxcapsD1RoaNrDNN8wpPQmvaZ0u1Yy+0c5CSjK/bHK0Gd48LWttH/W0C1FncZBuI++qeo1MwUTAdBgNVHQ4EFgQUDayxSWbJYj1IY5d3Zzkaof887ZMwHwYDVR0jBBgwFoAUDayxSWbJYj1IY5d3Zzkaof887ZMwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAW1s45s2ry5SEuPv4Z1SfZZOyM3NhuadWKfMOYzpfLvgIgbq3OjqbNN6lxGL5ONgKJ+4yovhGOXrpQIdTlHFsha6wxggF3MIIBcwIBATAkMAwxCjAIBgNVBAMMAWECFGy1P97aLyfdiaQYDYvk/+bZb64BMAsGCWCGSAFlAwQCAaCB5DAYBgkqhkiG9w0BCQMxCwYJKoZIhvcNAQcBMBwGCSqGSIb3DQEJBTEPFw0yNjExMjYxMDA4MTNaMC8GCSqGSIb3DQEJBDEiBCDDv0fqH0pKYFRwMTyss6RPSkYfaMb66rB+c3YQy1rINTB5BgkqhkiG9w0BCQ8xbDBqMAsGCWCGSAFlAwQBKjALBglghkgBZQMEARYwCwYJYIZIAWUDBAECMAoGCCqGSIb3DQMHMA4GCCqGSIb3DQMCAgIAgDANBggqhkiG9w0DAgIBQDAHBgUrDgMCBzANBggqhkiG9w0DAgIBKDAKBggqhkjOPQQDAgRIMEYCIQDrUsRA/DhzNsHCbgLIwIdbm6kmuLQhSwpfPEmiFUH7AgIhAOjFH5BdOVhlJj0VLuEhn9vdpJX3/rcj/JzH1lKxZ6tR",
            "MIHBBgkqhkiG9w0BBwKggbMwgbACAQExDTALBglghkgBZQMEAgEwCwYJKoZIhvcNAQcBMYGOMIGLAgEBMCQwDDEKMAgGA1UEAwwBYQIUbLU/3tovJ92JpBgNi+T/5tlvrgEwCwYJYIZIAWUDBAIBMAoGCCqGSM49BAMCBEcwRQIgMCZW4mA/suaJ6kfeeE7zbOsVQLkx2QE2OXZVpyL3a4MCIQDV60UmGoXwr2E8KgZXTAdl1rk0DWkcNxQHeIwOiDxfcA==",
        ],
        "cmp" => &[
            "MIICxzBvAgECpA4wDDEKMAgGA1UEAwwBZKQRMA8xDTALBgNVBAMMBFJvb3SgERgPMjAyNjExMjkxNTE2MjBaoQwwCgYIKoZIzj0EAwKkEgQQchfFkfR5d8jjU6FDza2qX6USBBAg8BAnrU56D6Pz64aoRycQoIHlMIHiMIHfMIGDAgEAMH6jETAPMQ0wCwYDVQQDDARSb290pQ4wDDEKMAgGA1UEAwwBZKZZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOy1FDZPAg8dV3UuGB/S8nIfTtGPLQC5RVKD6ogfQrGOdcPXoArwboDTuUEgx8lcKH1mDsj2NjdBudyN/cgKidqhVzAKBggqhkjOPQQDAgNJADBGAiEAuaK+R2TyK/jODpmHYzia0wqbcOiWIY+xAu5ohzeMdScCIQDb8xxKnJOLBtHlqVlxjqBVnQUa5RDKMMWd/+RH2Og/2KBKA0gAMEUCIQCu/6vOEk8Gzxt91NxyNIvVuqVh49YICl14q6/G/tm1HQIgS+htYChmKfDrteQAimxqhbo4dxKsiKCZq3oIVreZOB2hggEeMIIBGjCCARYwgbwCFAiTr5prOE/Iwjhjgz+eECpk5fuXMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBFJvb3QwHhcNMjYxMTI5MTUxNjIwWhcNMzYxMTI2MTUxNjIwWjAMMQowCAYDVQQDDAFkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7LUUNk8CDx1XdS4YH9Lych9O0Y8tALlFUoPqiB9CsY51w9egCvBugNO5QSDHyVwofWYOyPY2N0G53I39yAqJ2jAKBggqhkjOPQQDAgNJADBGAiEA9yGOSc6TyMeMzdth1cL8+LhjPSW0PF0lQlquJ5FV2IsCIQDUXVvsymmaI0O2zfSoVEjkU5MDaeFet2tw54kTdJhS3Q==",
            "MIIC5TBvAgECpA4wDDEKMAgGA1UEAwwBZKQRMA8xDTALBgNVBAMMBFJvb3SgERgPMjAyNjEyMDEwMzUwMDlaoQwwCgYIKoZIzj0EAwKkEgQQl/7Yz605cr2CQmO4KfpPnqUSBBATL2nO6q9nRft2Q0jjaBTvp4IBBDCCAQAwgf0wga4CAQAwb6MRMA8xDTALBgNVBAMMBFJvb3SlDjAMMQowCAYDVQQDDAFkpiowBQYDK2VwAyEAJSTZSFy7cvr1IgF/dSgB43Q1KotglwM7ljNqa2GsitWpHjAcBgNVHREEFTATghFwdW1wLmFjbWUuZXhhbXBsZTA4MDYGCSsGAQUFBwUBBTAppBEwDzENMAsGA1UEAwwEUm9vdAIUQUFBQUFBQUFBQUFBQUFBQUFBQUGhSjAFBgMrZXADQQCtp4UGN9rHBaYObpu5NmZkUr1S4Eo2Kf2uSCmWMz7QfurDiCIi6P1/eAS5yU4S27SQSiDSs/6OhXkPzIT0O/0HoEoDSAAwRQIgNMwPDU1imOpmtW4QgEXTdaAN9H0AihltvA7yiFwEvUICIQDKB8Tnz0TzGnxPWyI61dZpBOx6sHC5CRyp1rppvj52FKGCARwwggEYMIIBFDCBvAIUQUFBQUFBQUFBQUFBQUFBQUFBQUEwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEUm9vdDAeFw0yNjEyMDEwMzQ5NTZaFw0zNjExMjgwMzQ5NTZaMAwxCjAIBgNVBAMMAWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASk3kMw9s7GwCIb6JcwO+nv2Pdz7XHn53Ymq7919zGeV7fcDxUdqtYhr3kmEbYPIX9mv8SqHAU/gIWpv0fCcqg3MAoGCCqGSM49BAMCA0cAMEQCIBzfI46uhhNXzvour7/DWdFnMDkaxGJZqVUDNXITGnZvAiBmIpIpRJkwskomScWYPk4UvxujQVVjqEI0pxZ1pa4t0g==",
            "MIICGzBvAgECpA4wDDEKMAgGA1UEAwwBZKQRMA8xDTALBgNVBAMMBFJvb3SgERgPMjAyNjEyMDEwMzQ5NTZaoQwwCgYIKoZIzj0EAwKkEgQQswOD7CRmlIX0EA0YOY4Wb6USBBB4gzy/OWG6d8ohMhiRtPhzqz0wOzA5MCmBFEFBQUFBQUFBQUFBQUFBQUFBQUFBoxEwDzENMAsGA1UEAwwEUm9vdDAMMAoGA1UdFQQDCgEBoEkDRwAwRAIgW5+y3R48j9S2rzXhqjp5G9kqso0clGpQbhEZTy9+Dl0CIB70AwnWM0xaJqSgVKvlJi2xSpiYttRaf4CRrUonQN3ooYIBHDCCARgwggEUMIG8AhRBQUFBQUFBQUFBQUFBQUFBQUFBQTAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARSb290MB4XDTI2MTIwMTAzNDk1NloXDTM2MTEyODAzNDk1NlowDDEKMAgGA1UEAwwBZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKTeQzD2zsbAIhvolzA76e/Y93Ptcefndiarv3X3MZ5Xt9wPFR2q1iGveSYRtg8hf2a/xKocBT+Aham/R8JyqDcwCgYIKoZIzj0EAwIDRwAwRAIgHN8jjq6GE1fO+i6vv8NZ0WcwORrEYlmpVQM1chMadm8CIGYikilEmTCySiZJxZg+ThS/G6NBVWOoQjSnFnWlri3S",
            "MIIBjjCBmgIBAqQCMACkETAPMQ0wCwYDVQQDDARSb290oBEYDzIwMjYxMTI5MTUxNjIwWqE+MDwGCSqGSIb2fQdCDTAvBBBqmKXhJIlDfjzJRSXPi/pjMAsGCWCGSAFlAwQCAQICAfQwCgYIKoZIhvcNAgmiAwQBeKQSBBAsQgpYs+1iinhDWppYh/l7pRIEEF5OhstoCMUCOkD3/UJuaD+kgckwgcYwbgIBADAMMQowCAYDVQQDDAFkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7LUUNk8CDx1XdS4YH9Lych9O0Y8tALlFUoPqiB9CsY51w9egCvBugNO5QSDHyVwofWYOyPY2N0G53I39yAqJ2qAAMAoGCCqGSM49BAMCA0gAMEUCIHSn1R+4fajp3P9P21+SG6eVCBZIE+q+v5dMAQ8AbnbCAiEAt/DVDx0dghvhUqn9TdzSctKyPjU60ZBfqB6Npatxt5SgIwMhACCDSxr0K8KBUo5aprn8D7tjQimqMiWJYA6YpSMPGAgU",
            "MIIB7jBvAgECpA4wDDEKMAgGA1UEAwwBZKQRMA8xDTALBgNVBAMMBFJvb3SgERgPMjAyNjExMjkxNTE2MjBaoQwwCgYIKoZIzj0EAwKkEgQQG1E2YmQQ5zaRY0Zf9bFdp6USBBDItpW38PJvLglc7qgUTa0YtQ4wDDAKBggrBgEFBQcEEaBJA0cAMEQCIFLnu98z7qqB/a3Gd/VPg7KH9IoYZZhqetunoE37kuDLAiBOyw5A8UbM+cItErGXAIV7GV0cxoBTB35M6v1rXJUITKGCAR4wggEaMIIBFjCBvAIUCJOvmms4T8jCOGODP54QKmTl+5cwCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEUm9vdDAeFw0yNjExMjkxNTE2MjBaFw0zNjExMjYxNTE2MjBaMAwxCjAIBgNVBAMMAWQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATstRQ2TwIPHVd1Lhgf0vJyH07Rjy0AuUVSg+qIH0KxjnXD16AK8G6A07lBIMfJXCh9Zg7I9jY3Qbncjf3IConaMAoGCCqGSM49BAMCA0kAMEYCIQD3IY5JzpPIx4zN22HVwvz4uGM9JbQ8XSVCWq4nkVXYiwIhANRdW+zKaZojQ7bN9KhUSORTkwNp4V63a3DniRN0mFLd",
            "MIIBqjCBmgIBAqQCMACkETAPMQ0wCwYDVQQDDARSb290oBEYDzIwMjYxMTI5MTUxNjIwWqE+MDwGCSqGSIb2fQdCDTAvBBBqmKXhJIlDfjzJRSXPi/pjMAsGCWCGSAFlAwQCAQICAfQwCgYIKoZIhvcNAgmiAwQBeKQSBBAsQgpYs+1iinhDWppYh/l7pRIEEF5OhstoCMUCOkD3/UJuaD+igeUwgeIwgd8wgYMCAQAwfqMRMA8xDTALBgNVBAMMBFJvb3SlDjAMMQowCAYDVQQDDAFkplkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7LUUNk8CDx1XdS4YH9Lych9O0Y8tALlFUoPqiB9CsY51w9egCvBugNO5QSDHyVwofWYOyPY2N0G53I39yAqJ2qFXMAoGCCqGSM49BAMCA0kAMEYCIQC5or5HZPIr+M4OmYdjOJrTCptw6JYhj7EC7miHN4x1JwIhANvzHEqck4sG0eWpWXGOoFWdBRrlEMowxZ3/5EfY6D/YoCMDIQBrM3MdN/JmsVz1IOpM0EFoixJbTHvFDH4839SBm/PDdg==",
            "MIH8MIGaAgECpAIwAKQRMA8xDTALBgNVBAMMBFJvb3SgERgPMjAyNjExMjkxNTE2MjBaoT4wPAYJKoZIhvZ9B0INMC8EEGqYpeEkiUN+PMlFJc+L+mMwCwYJYIZIAWUDBAIBAgIB9DAKBggqhkiG9w0CCaIDBAF4pBIEECxCCliz7WKKeENamliH+XulEgQQXk6Gy2gIxQI6QPf9Qm5oP7g4MDYwNAQgA9Zt0Ig1wco/EozOrNHzGslBYwlrIPRFroQoW8CDLXICAQCgDTALBglghkgBZQMEAgGgIwMhADe7anF9lYV9iWEytpis++TEtZI/YFnmVYAEv4Rw9lDy",
            "MIIBAjCBmgIBAqQCMACkETAPMQ0wCwYDVQQDDARSb290oBEYDzIwMjYxMTI5MTUxNjIwWqE+MDwGCSqGSIb2fQdCDTAvBBBqmKXhJIlDfjzJRSXPi/pjMAsGCWCGSAFlAwQCAQICAfQwCgYIKoZIhvcNAgmiAwQBeKQSBBAsQgpYs+1iinhDWppYh/l7pRIEEF5OhstoCMUCOkD3/UJuaD+4PjA8MDoEIAPWbdCINcHKPxKMzqzR8xrJQWMJayD0Ra6EKFvAgy1yAgEAMBMCAQIwCgwIbm90IG1pbmUDAgZAoCMDIQA3GHO1AUVrbsY9J8h/uycUXvN6E0cb8rhus2z1RRTJDg==",
            "MIHrMIGaAgECpAIwAKQRMA8xDTALBgNVBAMMBFJvb3SgERgPMjAyNjExMjkxNTE2MjBaoT4wPAYJKoZIhvZ9B0INMC8EEGqYpeEkiUN+PMlFJc+L+mMwCwYJYIZIAWUDBAIBAgIB9DAKBggqhkiG9w0CCaIDBAF4pBIEECxCCliz7WKKeENamliH+XulEgQQXk6Gy2gIxQI6QPf9Qm5oP7cnMCUwIAIBAjAbDBl0aGUgYW5zd2VyIGNhbm5vdCBiZSByZWFkAgEBoCMDIQDWN3dLJ4bT4zzXM0UCFcUuquzlbnWF5pGFZ+l/ZJ47Nw==",
        ],
        "crl" => &[
            "MIIBHTCBxQIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxBY21lIElzc3VpbmcXDTI2MTEyNjAwMDAwMFoXDTI2MTEyNzAwMDAwMFqgfTB7MB8GA1UdIwQYMBaAFEt2rNht7Hu/1Da7hHjpgmKgQxLSMAoGA1UdFAQDAgEHMEwGA1UdHAEB/wRCMECgO6A5hjdodHRwOi8vcGtpLmFjbWUuZXhhbXBsZS94NTA5L2RldmljZXMuYWNtZS5leGFtcGxlL2NybC8xgQH/MAoGCCqGSM49BAMCA0cAMEQCIHjeyp1pyklZYQnThs/Eu8ISg29e6qdBF+s4eOOcVXXAAiBty9++Fc75q3lSFr8cJ/P3sd7EEW9vmlA9ntMRSbwj/w==",
            "MIIBfjCCASMCAQEwCgYIKoZIzj0EAwIwFzEVMBMGA1UEAwwMQWNtZSBJc3N1aW5nFw0yNjExMjYwMDAwMDBaFw0yNjExMjcwMDAwMDBaMFwwMwIUQUFBQUFBQUFBQUFBQUFBQUFBQUEXDTI2MTEyNjAwMDAwMFowDDAKBgNVHRUEAwoBBjAlAhRCQkJCQkJCQkJCQkJCQkJCQkJCQhcNMjYxMTI2MDAwMDAwWqB9MHswHwYDVR0jBBgwFoAUS3as2G3se7/UNruEeOmCYqBDEtIwCgYDVR0UBAMCAQcwTAYDVR0cAQH/BEIwQKA7oDmGN2h0dHA6Ly9wa2kuYWNtZS5leGFtcGxlL3g1MDkvZGV2aWNlcy5hY21lLmV4YW1wbGUvY3JsLzGBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKMveJ49o5idAly/hO9AG+V/40qztc5or5cHVKMfUr1MAiEAkJxA3Tp2Z2Mioppgba9Ra7i9duGwgufj9GgwSC4oViE=",
        ],
        "csr" => &[
            "MIIBPjCB5QIBADAoMQ0wCwYDVQQFEwRTTi0xMRcwFQYDVQQDDA5wLmFjbWUuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIhNsT55A+9NiXicOKF6FW16C08caEtchgLIerEolBy7QnshBB6gpMehuAf9x0zkvrAmbWEEH7jU7BVpytd6g6CgWzBZBgkqhkiG9w0BCQ4xTDBKMDMGA1UdEQQsMCqGEnVybjpkZXY6b3M6MzI0NzMtMYIOcC5hY21lLmV4YW1wbGWHBH8AAAEwEwYDVR0lBAwwCgYIKwYBBQUHAwIwCgYIKoZIzj0EAwIDSAAwRQIhAJj6HOO1hSc+T82/wHl8Omh7OTKbdN0+dTyBj4bSCiRyAiB168R0MtD5x4nhGTjGmmEGEZ+qOuru771zg7KeIE6oBQ==",
            "MIIBiDCCAS4CAQAwDzENMAsGA1UEBRMEU04tNzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOtvwOzzUezcrVDQVqIBhOji9WQch1Li9q4J4XkSk67nN2QFbO4BQaWYQYBSSsYv6xHekVa3XOysi/HCo5U4lcqggbwwgbkGCSqGSIb3DQEJDjGBqzCBqDCBgwYDVR0RBHwweoITcHVtcC03LmFjbWUuZXhhbXBsZYYVdXJuOmRldjpvczozMjQ3My1TTi03hwR/AAAJoCQGCCsGAQUFBwgDoBgwFgwUdXJuOmRldjpvczozMjQ3My1TTjegIAYIKwYBBQUHCASgFDASBgkrBgEEAYH9WQEEBVNOLTc4MAsGA1UdDwQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDAjAKBggqhkjOPQQDAgNIADBFAiEA4Ax58RAT/gJsbeFXpeviWp3XtiVbYcXB72EFQ265HMoCIEXWoIqm+FYYMCsQ9gjJpqTbSc1UGDqEflSV/rKbpkPA",
            "MIICkDCCAXgCAQAwDzENMAsGA1UEBRMEU04tNzCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAJMv0Kqq7uo10/MHPIbZC7lS8qDTM6yeuQU3ZFPSmc+kEFIIUmdx9D18a+k9wVAYP6TZkKlxgDTfG+9nkn3UeUlA5REIoe5XjwfMi6OOD+TKhKrUaX2aPg0wXTsQ0RXyOlx/xHfsI9oo3stmI4UZ+AwvF1PzH0Y9vjdz/URY6xHdtpuMghTrk9B+oedX2XW4Zaui9UxIrUKdcXE6/c97gmhxoEbHOht3CCPT8A+6enF1+FT2OefxZDb4JqrFws5EnKCZdB2hvCu2qjsu3v+lQ0VsECRoAdWzNPYOEqjI1c/O0cFAefJ9mCA72C2A8y+19cY2SMizn0lSBnfpOhdx/ccCAwEAAaA8MDoGCSqGSIb3DQEJDjEtMCswHgYDVR0RBBcwFYITcHVtcC03LmFjbWUuZXhhbXBsZTAJBgNVHRMEAjAAMA0GCSqGSIb3DQEBCwUAA4IBAQAQNtDmIuPaFpO/1TSEnS3ZDOH48kFtt66MDYQ7szgqxANC8FbmTRXapDRAiWu5XoyohxZ6CWP6motYjwuWWWQWtNxZPzQAYgcY7T08nMFGCQOJ/NGpOasgoBpl/ZPDzSjDj7A9GzkvLW/A5f6FP6l/S9ITLlhaSYptXTe5SVr0kpU8opsax7+1TuKQj7VHSg5zJVMj8BKIWw+933+tIAa5DbPERAJx9oadfEOlWMC2aMqrSVE2Im0pnIIi3YXCxLCIICl73dE4DZmQj3BSAKP29MyttWANorFSDpQ8c9FWXM1U4tWT6WqVODjaltSccDlzu7szvwzbKuAwRy6EjEq5",
            "MIGOMEICAQAwDzENMAsGA1UEBRMEU04tNzAqMAUGAytlcAMhABOWLDcV6fRVoo9IRXlQP7fuAoWdC1Op90nMW+bY0rCqoAAwBQYDK2VwA0EA/1khAnjimdhM1/eebLqdoNjWyr+pYGHAJfhOz7H6igN2/D8jt5VOh3FewnKXLARFyLEzC0dtV5WE+pP4NgTICw==",
        ],
        "ocsp" => &[
            "MHoweDBRME8wTTAJBgUrDgMCGgUABBSPEm0Dnl6Oh2D6oi7g6gQElilppQQUMWq4+TXVThBMgys8bRO8fT3LWw8CFEECAwQFBgcICQoLDA0ODxAREhMUoiMwITAfBgkrBgEFBQcwAQIEEgQQ1ripR9xWO67IH63bGn+M/A==",
            "MFUwUzBRME8wTTAJBgUrDgMCGgUABBTcO8ZJziNA9Po/P0p/iT6RuIeU2AQUS3as2G3se7/UNruEeOmCYqBDEtICFEFBQUFBQUFBQUFBQUFBQUFBQUFB",
            "MIGXMIGUMG0wazBpMA0GCWCGSAFlAwQCAQUABCAKGvx2sswFq2RwSqyEssl7mfF+egI4czdUwlbV6cVBdwQgObxkiSa7HKpjzhQXRWE48JAy/itqzm0gQtMvHuP4hYICFEFBQUFBQUFBQUFBQUFBQUFBQUFBoiMwITAfBgkrBgEFBQcwAQIEEgQQMDEyMzQ1Njc4OWFiY2RlZg==",
        ],
        "tls_alpn" => &[
            "MIIB6TCCAY6gAwIBAgIUFAWxsiRBRMtUotQehgGQKiow99UwCgYIKoZIzj0EAwIwHjEcMBoGA1UEAwwTcHVtcC03LmFjbWUuZXhhbXBsZTAgFw0yNjExMjcwMjU5MDBaGA8yMTI2MTEwMzAyNTkwMFowHjEcMBoGA1UEAwwTcHVtcC03LmFjbWUuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGm+GBwmxXLDchr86hJnsmqRa2sa4p3iV2C+TXoC5GweYE8PX1miB8IagmkQYKvl5iRg/RFltazmrPRLKFpED3ujgacwgaQwHQYDVR0OBBYEFG26y3KaPQSa+vhkquDrcDLv+kNnMB8GA1UdIwQYMBaAFG26y3KaPQSa+vhkquDrcDLv+kNnMA8GA1UdEwEB/wQFMAMBAf8wHgYDVR0RBBcwFYITcHVtcC03LmFjbWUuZXhhbXBsZTAxBggrBgEFBQcBHwEB/wQiBCAs+wjBOjujwGgbT6+MLIZAYFZJUg/Ej6L9fffp5Q5BmjAKBggqhkjOPQQDAgNJADBGAiEAzBXRBiWZEQaVqEOvccEw/mSOa9RMAwmizfLM3BZHArwCIQDhWjUpvbV0c+QcbQ+ApVj5F9gKsiQWWuUFHR+qtcUTOw==",
        ],
        "x509" => &[
            "MIIBijCCATCgAwIBAgIUWrrHD0DVWFRqATgya4jh/YxUGp0wCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAeFw0yNjExMjYwNDAxNTVaFw0zNjExMjMwNDAxNTVaMAwxCjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASITbE+eQPvTYl4nDihehVtegtPHGhLXIYCyHqxKJQcu0J7IQQeoKTHobgH/cdM5L6wJm1hBB+41OwVacrXeoOgo3AwbjAdBgNVHQ4EFgQUMWq4+TXVThBMgys8bRO8fT3LWw8wHwYDVR0jBBgwFoAUMWq4+TXVThBMgys8bRO8fT3LWw8wDwYDVR0TAQH/BAUwAwEB/zAbBgNVHR4EFDASoBAwDoIMYWNtZS5leGFtcGxlMAoGCCqGSM49BAMCA0gAMEUCIQD2TUqC4MFEi3PMjUpEfZw/UiK5xFrmxMFQfHnohRQ+SAIgKNbiuIb3PiPQjCk2mZK0e5i/koexnQkaALnzx23EQQo=",
        ],
        _ => &[],
    }
}

fn vectors(file: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schemas/vectors").join(file).with_extension("json");
    let bytes = std::fs::read(&path).unwrap_or_default();
    let value = serde_json::from_slice(&bytes);
    assert!(value.is_ok(), "{} is not JSON", path.display());
    value.unwrap_or_default()
}

/// Walks a document and collects the values of wanted members.
fn collect(value: &Value, member: Option<&str>, wanted: &[&str], found: &mut BTreeSet<Vec<u8>>) {
    let is_wanted = member.is_some_and(|member| wanted.contains(&member));
    match value {
        Value::String(text) if is_wanted => take(text, found),
        Value::Object(object) if is_wanted => found.extend(serde_json::to_vec(object)),
        Value::Object(object) => object.iter().for_each(|(name, value)| collect(value, Some(name), wanted, found)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, member, wanted, found)),
        _ => {}
    }
}

fn take(text: &str, found: &mut BTreeSet<Vec<u8>>) {
    let bytes = text.as_bytes();
    found.insert(bytes.to_vec());
    found.extend(HEXLOWER.decode(bytes).ok());
    found.extend(BASE64.decode(bytes).ok());
}

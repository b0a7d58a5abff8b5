//! Bare keys as OpenSSL writes them, and the fingerprints that every importer must get. The fingerprints were computed
//! independently of this code: SHA-1 over 0x99, the length, and the packet's content.

use super::*;

/// Algorithm, SubjectPublicKeyInfo in base64, fingerprint, SHA-256 of the DER.
const KEYS: [(KeyAlgorithm, &str, &str, &str); 6] = [
    (
        KeyAlgorithm::P256,
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE4fIkRVh38BWsERIaUBr1LCyvHDh0NwhS25+MKpjCMUb7aDuea4yDqelxBtVv2pc8\
         t82k29h4lMe+vNAneJN6gw==",
        "13458a6fad0392cc89d1a46be79bcf57b42ca8c0",
        "4bcdc4e91cd10757a8bb1b90182f429b7efe0ff933d96e9e4f1d9b2c81033f68",
    ),
    (
        KeyAlgorithm::P384,
        "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEOMAMLp5zSgya7kivlrGGVb/l/TKjN0Tjx8HkdIhdugiu+n+wWKvRJZ4qcD+GPiItWrAL\
         /WDDyQWGu7PBf7ZZyMxSfzL+dfR/gqn0nyKddxvg1seeA7lqz3i1gbmgKTpX",
        "72c20041ccb7ac8f4581348aa5f0ff9f8611ca33",
        "799caa51018f879eb812ecf61f1903daea8ef63dd590904e1d48fc385e3f2776",
    ),
    (
        KeyAlgorithm::P521,
        "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBW5bA42WIXcNpr4K52roa31TV5FTmdTV0u4hGx+R/Koc6d+t8cJdvM90/Y5n1dPlZ\
         JWGN+m+nAIWVyEyIl2+hK+gB0jqlCi5DK7Al1nFjzorDec1bE8VY5wdX55UvE5ZnDHY8zHnOAkGp/biphhCZ8ucpR0MdD17vj/Iy\
         NJLrlBMISpI=",
        "5d751e1d3db99ddc1610d63f32d88967ba5388bd",
        "26b443c4367aa9b801f6ebc8fbfbcb15650b5c01a4efb0e83a27de9197e7ea24",
    ),
    (
        KeyAlgorithm::Ed25519Legacy,
        "MCowBQYDK2VwAyEAEICwuLQTr0t+ysvq52aC+mtFkR5lB5B0j8LOkXLbZAQ=",
        "627dbec193c5bde996240cb108ded5d721aee723",
        "c82ed4d6d64db3a3d9dd0145695ff3aa3d64013cc0b17e98ad4b3e2476dc8c8f",
    ),
    (
        KeyAlgorithm::Ed448,
        "MEMwBQYDK2VxAzoAByu2QGnqFfagRbdlOhBF378uGliOOHoy/JktMXZXNz0qQYXCIcQgRuk52Uaq7an5KX1yFzVP1VOA",
        "2093fad4e9faa97359ddf6850b2f0a4862c5e5b8",
        "f69dd991a7c5fcab39a750da3b68b6e00da3b8eaf3368af9f72505a5ddce6e01",
    ),
    (
        KeyAlgorithm::Rsa,
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA5CTRUeGeub7Wzh+Vl+If1vfVbdnt7fT1M2dXeqyLvbyOs/pdhcVfwC5Q\
         HhUz/08BIxhxWkNaC5OU7Kt5BYHRxg5v+xaKASQbsUNPdw6u7h4bjX6LJac1CyByjDpfkL8TpJRk0GKAPiXBQQF811/x+kZ78+1q\
         636R45N4fGjE29zU29TyxuOXXSu83X+E6aTxv0gh4lBkCg2vQpfZZ6IwyCie39TJzJJm93Su3sL4Ax+E+NStTe/hWFTt5P9Cj2c5\
         jj+IKDbG1Ay2ON3lMNTD/9KINIaSbZ6Q6a5rzjSebg75vKLa5m0WFOvFRS3nlV9tWDqqo2a1CYjPMnj+1AAODwIDAQAB",
        "bc10a6dbe81570ef3cae6eba254c985b9a522e93",
        "95895458aaddb9d587c9ca3cf36613250bac35afa16aa9b4e113bf8a73a68638",
    ),
];

/// P-256 with a compressed point, P-256 with explicit parameters, secp256k1.
const OTHERS: [&str; 3] = [
    "MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgAD4fIkRVh38BWsERIaUBr1LCyvHDh0NwhS25+MKpjCMUY=",
    "MIIBSzCCAQMGByqGSM49AgEwgfcCAQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////////////MFsEIP//\
         //8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57PrvVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSdNgiG5wST\
         amZ44ROdJreBn36QBEEEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBo\
         N79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8YyVRAgEBA0IABCbcK7bbzY6b9W63OX9VATT7s1xbmxmUX+/LRlyk\
         9xQqrDv4YFRoMmdAwKvucyjkcQ8IJNmpl4I9Ghb0hoz7QWQ=",
    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEHsCvmLmVCzEuirTrjorBNwZH22HaZeoudHk6t2wRVsG3rco+Ca4PlDpKHcGwFiFC5NeZ\
         B4JQiWT2E0jDFm3izA==",
];

fn der(base64: &str) -> Vec<u8> {
    BASE64.decode(base64.as_bytes()).expect("base64")
}

#[test]
fn every_importer_gets_the_same_key() {
    for (algorithm, base64, fingerprint, spki_sha256) in KEYS {
        let der = der(base64);
        let key = PublicKey::from_spki_der(&der).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
        assert_eq!((key.algorithm(), key.version()), (algorithm, 4));
        assert_eq!(key.created().to_string(), "2018-01-01T00:00:00Z");
        assert_eq!(key.fingerprint().to_string(), fingerprint);
        assert_eq!(data_encoding::HEXLOWER.encode(&key.spki_sha256().expect("X.509 has it")), spki_sha256);
        assert_eq!(key.to_spki_der(), Some(der));
        let lines: Vec<_> =
            base64.as_bytes().chunks(64).map(|line| core::str::from_utf8(line).expect("ASCII")).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        assert_eq!(PublicKey::from_spki_pem(&pem), Ok(key.clone()));
        assert_eq!(PublicKey::from_packet(&key.to_packet()), Ok(key));
    }
}

#[test]
fn other_keys_are_refused() {
    for base64 in OTHERS {
        assert_eq!(PublicKey::from_spki_der(&der(base64)), Err(SpkiError::Form), "{base64}");
    }
}

#[test]
fn nothing_but_the_one_encoding() {
    for (_, base64, ..) in KEYS {
        let good = der(base64);
        assert!(PublicKey::from_spki_der(&[&good[..], &[0]].concat()).is_err());
        assert!(PublicKey::from_spki_der(&good[..good.len() - 1]).is_err());
        let original = PublicKey::from_spki_der(&good);
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0x40;
            assert_ne!(PublicKey::from_spki_der(&changed), original, "byte {at}");
        }
    }
}

#[test]
fn weak_points_and_broken_pem() {
    let neutral = [ED25519, &[1], &[0; 31]].concat();
    assert_eq!(PublicKey::from_spki_der(&neutral), Err(KeyError::SmallOrder.into()));
    let not_a_point = [ED25519, &[2], &[0; 31]].concat();
    assert_eq!(PublicKey::from_spki_der(&not_a_point), Err(SpkiError::NotAPoint));
    let not_canonical = [ED25519, &[0xff; 32]].concat();
    assert!(PublicKey::from_spki_der(&not_canonical).is_err());
    for pem in ["", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----"] {
        assert_eq!(PublicKey::from_spki_pem(pem), Err(SpkiError::Pem), "{pem}");
    }
    assert_eq!(PublicKey::from_spki_der(&[]), Err(SpkiError::Form));
}

/// Keys of the wrong size are refused for their size, not as malformed.
#[test]
fn rsa_keys_of_other_sizes_are_refused_by_their_size() {
    for bits in [512, 1000, 1024, 1536, 2040, 4104] {
        let n = [&[0x80], &vec![0x55; bits / 8 - 1][..]].concat();
        let refused = PublicKey::from_spki_der(&rsa_der(&n, &[1, 0, 1]));
        assert_eq!(refused, Err(KeyError::RsaBits(bits).into()));
    }
}

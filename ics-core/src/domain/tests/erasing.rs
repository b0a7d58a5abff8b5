//! Erasures signed by the owners, as judged with and without the body of the erased statement.

use data_encoding::BASE64;

use super::*;
use crate::descriptor::OwnerKey;
use crate::domain::Erasable;
use crate::openpgp::signer::Signer as _;
use crate::statement::body::{self, Body};
use crate::statement::{Erasure, Remnant, SaidBy, SignedErasure, fixtures, make};

/// The domain, with its owner.
fn owned() -> Domain {
    let owner = fixtures::maker();
    let public = owner.public_key();
    let key = BASE64.encode(&public.to_packet());
    let mut rules = descriptor();
    rules.owners.keys = vec![OwnerKey { name: "Acme".to_owned(), fingerprint: public.fingerprint(), key }];
    Domain::found([0; 32], rules, time(0)).expect("access rules are valid")
}

fn signed(erasure: &Erasure) -> SignedErasure {
    let json = erasure.to_json().expect("canonical");
    let body = make::sign_descriptor(&[&fixtures::maker()], &json, fixtures::at(), &fixtures::SALT).expect("made");
    let Ok(Body::Erasure(signed)) = body::parse(&body) else { panic!("an erasure") };
    signed
}

/// Statements about the device, the second of which is erased.
struct Said(Vec<Logged>);

impl Said {
    fn of(drafts: &[Draft]) -> Self {
        Self(split(drafts).0)
    }

    fn context(&self) -> Context<'_> {
        Context { about: &self.0, groups: &[], unseen: false }
    }

    fn proposed(&self) -> Erasure {
        owned().erasure_of(&self.0[1], &self.context(), fixtures::at()).expect("it may be erased")
    }

    /// How an erasure is judged with the body.
    fn judged(&self, erasure: &Erasure) -> Result<u64, &'static str> {
        let target = Erasable::Statement(&self.0[1]);
        let judged = owned().check_erasure(&signed(erasure), target, &self.context(), fixtures::at());
        judged.map_err(|refusal| refusal.code())
    }
}

fn suspended() -> Draft {
    status(1, KEEPER, "maintainer", "suspended")
}

fn lifted() -> Draft {
    status(2, KEEPER, "maintainer", "in-use").ends(1)
}

#[test]
fn an_erasure_names_the_signer_of_what_goes_on_to_block_and_nobody_else() {
    for drafts in [vec![introduce(0), suspended()], vec![introduce(0), suspended(), lifted()]] {
        let said = Said::of(&drafts);
        let erasure = said.proposed();
        let by = |signer| Some(SaidBy { signer, index: 1, source: Vec::new() });
        assert_eq!((&erasure.said_by, erasure.effect), (&by(KEEPER), Some(Effect::Blocks)));
        assert_eq!(said.judged(&erasure), Ok(1));
        assert_eq!(said.judged(&Erasure { said_by: by(MAKER), ..erasure }), Err("erasure-differs"));
    }
}

/// The form of erasures before they named anybody; logs hold such ones.
#[test]
fn an_erasure_that_names_nobody_is_admitted_if_it_is_what_such_ones_were() {
    let block = Said::of(&[introduce(0), suspended()]);
    let former = Erasure { said_by: None, ..block.proposed() };
    assert_eq!(block.judged(&former), Ok(1));
    let unblocking = Erasure { effect: None, status: None, from: None, ..former };
    assert_eq!(block.judged(&unblocking), Err("erasure-differs"), "it blocks still");

    let over = Said::of(&[introduce(0), suspended(), lifted()]);
    let restated = Erasure { said_by: None, ..over.proposed() };
    assert_eq!(over.judged(&restated), Err("erasure-differs"), "the owners would block it again");
    let former = Erasure { effect: None, status: None, from: None, ..restated };
    assert_eq!(over.judged(&former), Ok(1));

    let until = fixtures::at().plus_millis(1_000_000);
    let lifting = lifted().with(|said| said.claims.until = Some(until));
    let for_a_while = Said::of(&[introduce(0), suspended(), lifting]);
    assert_eq!(for_a_while.judged(&former), Err("erasure-differs"), "nobody would know that it blocks again");
    assert_eq!(for_a_while.judged(&for_a_while.proposed()), Ok(1));
}

/// Without the body, it cannot be told whose statement it was, so the owners are believed about that entry, but about
/// no other place.
#[test]
fn a_holder_of_a_mere_remnant_believes_only_the_owners_of_that_entry() {
    let said = Said::of(&[introduce(0), suspended()]);
    let erasure = said.proposed();
    let remnant = Remnant { statement: id(1), identity: device() };
    let judged = |erasure: &Erasure| {
        let target = Erasable::Remnant(1, remnant);
        let judged = owned().check_erasure(&signed(erasure), target, &said.context(), fixtures::at());
        judged.map_err(|refusal| refusal.code())
    };
    assert_eq!(judged(&erasure), Ok(1));
    assert_eq!(judged(&Erasure { said_by: None, ..erasure.clone() }), Ok(1));
    let elsewhere = Some(SaidBy { signer: KEEPER, index: 2, source: Vec::new() });
    assert_eq!(judged(&Erasure { said_by: elsewhere, ..erasure }), Err("erasure-differs"));
}

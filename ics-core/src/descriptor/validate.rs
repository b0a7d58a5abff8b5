//! Reading a descriptor: its form, its bounds, and every rule that it must meet to govern a domain.

use serde_json::Value;

use super::fields::{Check, check_freshness, distinct, fail, fail_if, node, range, read, text};
use super::pattern;
use super::{Descriptor, DescriptorError, OwnerKey, Problem, RULES};
use crate::canonical_json;
use crate::identity::Kind;
use crate::limits;
use crate::log::text::from_base64;
use crate::openpgp::key::PublicKey;
use crate::policy::AccessPolicy;
use crate::vocabulary::{Effect, StatusName};

impl Descriptor {
    /// Reads a descriptor and checks everything that can be checked without the previous version.
    ///
    /// # Errors
    /// When it is too long, not canonical JSON, or a field breaks a rule; the error names the field.
    pub fn parse(json: &[u8]) -> Result<Self, DescriptorError> {
        if json.len() > limits::DESCRIPTOR_BYTES {
            return Err(DescriptorError::TooLong(json.len()));
        }
        let value = canonical_json::parse_value(json).map_err(DescriptorError::Encoding)?;
        known_rules(&value)?;
        let descriptor: Self = read(json).map_err(DescriptorError::Json)?;
        if descriptor.to_json() != json {
            return Err(DescriptorError::Superfluous);
        }
        descriptor.check()?;
        Ok(descriptor)
    }

    fn check(&self) -> Check {
        self.check_version()?;
        text("description", &self.description)?;
        self.check_owners()?;
        node("home", &self.home)?;
        self.check_roles()?;
        self.check_statuses()?;
        self.check_lifts()?;
        check_freshness(&self.freshness)?;
        self.check_limits()?;
        self.check_witnesses()?;
        self.check_sources()?;
        self.check_certificates()?;
        self.check_history()?;
        AccessPolicy::compile(self).map(drop).or_else(|error| fail("access", Problem::Access(error)))
    }

    fn check_version(&self) -> Check {
        range("version", self.version, 1, limits::JSON_INTEGER)?;
        fail_if((self.version == 1) != self.previous.is_none(), "previous", || Problem::Previous)
    }

    /// A message takes signatures of only one OpenPGP version, so the threshold is compared with the owners of one
    /// version.
    fn check_owners(&self) -> Check {
        let keys = &self.owners.keys;
        let threshold = self.owners.threshold;
        fail_if(keys.is_empty(), "owners.keys", || Problem::Empty)?;
        range("owners.keys", keys.len(), 1, limits::DESCRIPTOR_SIGNATURES)?;
        range("owners.threshold", u64::from(threshold), 1, limits::DESCRIPTOR_SIGNATURES)?;
        for (index, owner) in keys.iter().enumerate() {
            let field = |member: &str| format!("owners.keys[{index}].{member}");
            text(&field("name"), &owner.name)?;
            fail_if(owner.name.is_empty(), field("name"), || Problem::Empty)?;
            let key = owner.public_key().or_else(|problem| fail(field("key"), problem))?;
            let actual = key.fingerprint();
            fail_if(actual != owner.fingerprint, field("fingerprint"), || Problem::Fingerprint(actual))?;
        }
        distinct("owners.keys", keys.iter().map(|owner| owner.fingerprint.to_string()))?;
        let of_version = |version| keys.iter().filter(|owner| owner.fingerprint.version() == version).count();
        let owners = of_version(4).max(of_version(6));
        let reachable = usize::try_from(threshold).is_ok_and(|threshold| threshold <= owners);
        fail_if(!reachable, "owners.threshold", || Problem::Unreachable { threshold, owners })
    }

    fn check_roles(&self) -> Check {
        fail_if(self.roles.is_empty(), "roles", || Problem::Empty)?;
        for (role, spec) in &self.roles {
            if let Some(problem) = spec.names.iter().find_map(|text| pattern::refused(text)) {
                return fail(format!("roles.{role}.names"), problem);
            }
        }
        Ok(())
    }

    fn check_statuses(&self) -> Check {
        for (status, added) in &self.statuses {
            let field = format!("statuses.{status}");
            let builtin = StatusName::builtin_names().any(|name| name == status.as_str());
            fail_if(builtin, field.as_str(), || Problem::Builtin(status.to_string()))?;
            fail_if(added.kinds.is_empty(), format!("{field}.kinds"), || Problem::Empty)?;
        }
        Ok(())
    }

    fn check_lifts(&self) -> Check {
        for (role, statuses) in &self.lifts {
            let field = format!("lifts.{role}");
            fail_if(!self.roles.contains_key(role), field.as_str(), || Problem::Role(role.to_string()))?;
            for status in statuses {
                let effects: Vec<Effect> = Kind::ALL.into_iter().filter_map(|kind| self.effect(status, kind)).collect();
                fail_if(effects.is_empty(), field.as_str(), || Problem::Status(status.to_string()))?;
                let for_ever = effects.contains(&Effect::BlocksForEver);
                fail_if(for_ever, field.as_str(), || Problem::ForEver(status.to_string()))?;
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Check {
        if let Some(bytes) = self.limits.certificate_bytes {
            range("limits.certificate_bytes", bytes, 1, limits::PERSON_CERTIFICATE_BYTES)?;
        }
        if let Some(count) = self.limits.statements_per_signer_and_identity {
            range("limits.statements_per_signer_and_identity", count, 1, limits::RECORD_STATEMENTS)?;
        }
        Ok(())
    }

    fn check_witnesses(&self) -> Check {
        let Some(witnesses) = &self.witnesses else { return Ok(()) };
        range("witnesses.keys", witnesses.keys.len(), 1, limits::WITNESSES)?;
        range("witnesses.quorum", u64::from(witnesses.quorum), 1, witnesses.keys.len())?;
        for (index, key) in witnesses.keys.iter().enumerate() {
            let field = format!("witnesses.keys[{index}]");
            node(&field, key)?;
            fail_if(key.key == self.home.key, field, || Problem::OwnWitness)?;
        }
        distinct("witnesses.keys", witnesses.keys.iter().map(|key| key.name.clone()))?;
        distinct("witnesses.keys", witnesses.keys.iter().map(|key| key.key.clone()))
    }

    fn check_sources(&self) -> Check {
        for (index, source) in self.sources.iter().enumerate() {
            let field = |member: &str| format!("sources[{index}].{member}");
            let own = source.domain == self.domain;
            fail_if(own, field("domain"), || Problem::OwnDomain)?;
            node(&field("home"), &source.home)?;
        }
        distinct("sources", self.sources.iter().map(|source| source.domain.to_string()))
    }

    fn check_history(&self) -> Check {
        for (index, compromise) in self.compromised.iter().enumerate() {
            range(&format!("compromised[{index}].from_index"), compromise.from_index, 0, limits::JSON_INTEGER)?;
        }
        let Some(head) = &self.last_head else { return Ok(()) };
        fail_if(self.version == 1, "last_head", || Problem::HeadFirst)?;
        range("last_head.size", head.size, 1, limits::JSON_INTEGER)
    }
}

/// Checks the version of the rules before anything else, because a later version may have other members.
fn known_rules(value: &Value) -> Check {
    let rules = value.get("rules").and_then(Value::as_u64).unwrap_or(u64::from(RULES));
    fail_if(rules != u64::from(RULES), "rules", || Problem::Rules(rules))
}

impl OwnerKey {
    /// The key for checking signatures.
    ///
    /// # Errors
    /// When it is not the canonical packet of an accepted key, in base64.
    pub fn public_key(&self) -> Result<PublicKey, Problem> {
        let packet = from_base64(&self.key).map_err(|_| Problem::Base64)?;
        PublicKey::from_packet(&packet).map_err(Problem::OpenPgpKey)
    }
}

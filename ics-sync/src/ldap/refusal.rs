//! A result other than success, in words: a number alone tells an operator nothing.

use ics_core::vocabulary::DomainName;

/// What a result of RFC 4511 or RFC 4533 means when the log of a domain was asked for, together with what the directory
/// itself says.
pub(super) fn told(code: u32, said: &str, domain: &DomainName) -> String {
    let meant = match code {
        3 => "timeLimitExceeded: it spends no more time on this".to_owned(),
        super::SIZE_LIMIT_EXCEEDED => "sizeLimitExceeded: it does not give even one entry".to_owned(),
        10 => "referral: another directory has it; give the peer that directory's address".to_owned(),
        11 => "adminLimitExceeded: its operator's limits are too low for this".to_owned(),
        12 => "unavailableCriticalExtension: it cannot keep a copy in step (RFC 4533), so it is not a node".to_owned(),
        32 => format!(
            "noSuchObject: it has no entry `icsDomain={domain},cn=Log`; either it does not hold the domain, or it is a \
             directory without logs, such as a slapd that copies a node's tree: `ldapsearch -b cn=Log` shows what it \
             has, and the peer's address must be that of a node's own LDAP server"
        ),
        34 => "invalidDNSyntax: it does not know such names, so it is not a node".to_owned(),
        49 => "invalidCredentials: it does not know this node's key".to_owned(),
        50 => "insufficientAccessRights: it does not show the log to this node's key".to_owned(),
        51 => "busy: this node asks it again later".to_owned(),
        52 => "unavailable: this node asks it again later".to_owned(),
        53 => "unwillingToPerform".to_owned(),
        super::REFRESH_REQUIRED => "e-syncRefreshRequired: its log is not the one that was expected".to_owned(),
        _ => "RFC 4511, appendix A, says what that means".to_owned(),
    };
    if said.is_empty() { meant } else { format!("{meant}; it says: {said}") }
}

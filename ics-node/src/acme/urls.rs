//! The URLs of one domain's ACME server.

use super::authorization::Method;
use super::problem::{Kind, Problem};

/// The resource of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The directory, where clients begin.
    Directory,
    /// Nonces.
    NewNonce,
    /// New accounts.
    NewAccount,
    /// New orders.
    NewOrder,
    /// Authorizations without an order (pre-authorization).
    NewAuthz,
    /// Revocation.
    RevokeCert,
    /// Changing an account's key.
    KeyChange,
    /// An account.
    Account(u64),
    /// The orders of an account.
    Orders(u64),
    /// An order.
    Order(u64),
    /// Where the certificate request of an order is sent.
    Finalize(u64),
    /// An authorization.
    Authorization(u64),
    /// A challenge of an authorization.
    Challenge(u64, Method),
    /// A certificate with one of its chains.
    Certificate(u64, usize),
    /// When a certificate should be renewed (RFC 9773).
    RenewalInfo(String),
}

/// The URLs of one domain's server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    base: String,
}

impl Urls {
    /// The URLs below the node's own.
    #[must_use]
    pub fn new(node: &str, domain: &ics_core::vocabulary::DomainName) -> Self {
        Self { base: [node.trim_end_matches('/'), "/acme/", domain.as_str()].concat() }
    }

    /// The URL of a resource.
    #[must_use]
    pub fn of(&self, resource: &Resource) -> String {
        format!("{}/{}", self.base, resource.path())
    }

    /// The number of the account with a URL (RFC 8555, 6.2: `kid`).
    ///
    /// # Errors
    /// `accountDoesNotExist` when it is not the URL of an account here.
    pub fn account(&self, kid: &str) -> Result<u64, Problem> {
        let path = kid.strip_prefix(&self.base).and_then(|rest| rest.strip_prefix('/'));
        match path.map(Resource::parse) {
            Some(Ok(Resource::Account(id))) => Ok(id),
            _ => Err(Problem::new(Kind::AccountDoesNotExist, "`kid` is not the URL of an account here")),
        }
    }
}

impl Resource {
    /// The path after the domain.
    #[must_use]
    pub fn path(&self) -> String {
        match self {
            Self::Directory => "directory".to_owned(),
            Self::NewNonce => "new-nonce".to_owned(),
            Self::NewAccount => "new-account".to_owned(),
            Self::NewOrder => "new-order".to_owned(),
            Self::NewAuthz => "new-authz".to_owned(),
            Self::RevokeCert => "revoke-cert".to_owned(),
            Self::KeyChange => "key-change".to_owned(),
            Self::Account(id) => format!("account/{id}"),
            Self::Orders(id) => format!("account/{id}/orders"),
            Self::Order(id) => format!("order/{id}"),
            Self::Finalize(id) => format!("order/{id}/finalize"),
            Self::Authorization(id) => format!("authorization/{id}"),
            Self::Challenge(id, method) => format!("authorization/{id}/{}", method.as_str()),
            Self::Certificate(id, 0) => format!("certificate/{id}"),
            Self::Certificate(id, chain) => format!("certificate/{id}/{chain}"),
            Self::RenewalInfo(id) => format!("renewal-info/{id}"),
        }
    }

    /// The resource at a path after the domain. Each resource has only one path.
    ///
    /// # Errors
    /// When there is none.
    pub fn parse(path: &str) -> Result<Self, Problem> {
        let parts: Vec<&str> = path.split('/').collect();
        let id = |text: &str| text.parse::<u64>().ok();
        let resource = match parts.as_slice() {
            ["directory"] => Some(Self::Directory),
            ["new-nonce"] => Some(Self::NewNonce),
            ["new-account"] => Some(Self::NewAccount),
            ["new-order"] => Some(Self::NewOrder),
            ["new-authz"] => Some(Self::NewAuthz),
            ["revoke-cert"] => Some(Self::RevokeCert),
            ["key-change"] => Some(Self::KeyChange),
            ["account", account] => id(account).map(Self::Account),
            ["account", account, "orders"] => id(account).map(Self::Orders),
            ["order", order] => id(order).map(Self::Order),
            ["order", order, "finalize"] => id(order).map(Self::Finalize),
            ["authorization", one] => id(one).map(Self::Authorization),
            ["authorization", one, "http-01"] => id(one).map(|one| Self::Challenge(one, Method::Http01)),
            ["authorization", one, "tls-alpn-01"] => id(one).map(|one| Self::Challenge(one, Method::TlsAlpn01)),
            ["certificate", one] => id(one).map(|one| Self::Certificate(one, 0)),
            ["certificate", one, chain] => {
                id(one).zip(chain.parse().ok()).map(|(one, chain)| Self::Certificate(one, chain))
            }
            ["renewal-info", one] => Some(Self::RenewalInfo((*one).to_owned())),
            _ => None,
        };
        resource
            .filter(|resource| resource.path() == path)
            .ok_or_else(|| Problem::new(Kind::NotFound, "there is nothing at this URL"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_one_path() {
        let all = [
            Resource::Directory,
            Resource::NewNonce,
            Resource::NewAccount,
            Resource::NewOrder,
            Resource::NewAuthz,
            Resource::RevokeCert,
            Resource::KeyChange,
            Resource::Account(1),
            Resource::Orders(2),
            Resource::Order(3),
            Resource::Finalize(4),
            Resource::Authorization(5),
            Resource::Challenge(6, Method::Http01),
            Resource::Challenge(7, Method::TlsAlpn01),
            Resource::Certificate(8, 0),
            Resource::Certificate(9, 1),
            Resource::RenewalInfo("AA.AA".to_owned()),
        ];
        for resource in all {
            assert_eq!(Resource::parse(&resource.path()), Ok(resource));
        }
        for path in ["", "order", "order/x", "order/01", "order/+1", "order/1/", "certificate/1/0", "directory/x"] {
            assert_eq!(Resource::parse(path).map_err(|error| error.kind), Err(Kind::NotFound), "{path}");
        }
    }

    #[test]
    fn accounts_are_named_by_their_urls_here() {
        let urls = Urls::new("https://ca.example/", &"devices.acme.example".parse().expect("a domain"));
        let account = urls.of(&Resource::Account(7));
        assert_eq!(account, "https://ca.example/acme/devices.acme.example/account/7");
        assert_eq!(urls.account(&account), Ok(7));
        for kid in ["", "7", "https://other.example/acme/devices.acme.example/account/7", &format!("{account}/orders")]
        {
            assert_eq!(urls.account(kid).map_err(|error| error.kind), Err(Kind::AccountDoesNotExist), "{kid}");
        }
    }
}

//! Identifies a session's client: bind, StartTLS, who am I (RFC 4511, 4.2 and 4.14; RFC 4513; RFC 4532).

use ldap3_proto::proto::{LdapBindCred, LdapBindRequest, LdapExtendedRequest, LdapResultCode};

use super::super::message::{self, Failure};
use super::super::paging::Paging;
use super::super::{ber, dn};
use super::{Next, START_TLS, Session, WHO_AM_I};
use crate::app::Reader;

impl Session {
    /// Notes the network that the client comes from.
    pub(in super::super) const fn comes_from(&mut self, network: Option<u64>) {
        self.network = network;
    }

    /// Whether the client has identified itself, and this node still knows it.
    pub(in super::super) fn is_known(&self) -> bool {
        !self.place.app.is_stranger(self.reader)
    }

    /// RFC 4513, 5.
    pub(super) fn bind(&mut self, id: i32, request: LdapBindRequest) {
        // Until the bind succeeds, and if it fails, the session is anonymous (RFC 4511, 4.2.1).
        self.reader = Reader::Anonymous;
        self.who.clear();
        self.drop_persisting();
        let result = if request.version == 3 {
            self.authenticate(&request)
        } else {
            Err(Failure::new(LdapResultCode::ProtocolError, "this server speaks LDAP version 3"))
        };
        self.answer(id, message::BIND + 1, &result);
    }

    fn authenticate(&mut self, request: &LdapBindRequest) -> Result<LdapResultCode, Failure> {
        let wrong = || Failure::new(LdapResultCode::InvalidCredentials, "");
        match &request.cred {
            LdapBindCred::Simple(password) if request.dn.is_empty() && password.is_empty() => {}
            LdapBindCred::Simple(password) if password.is_empty() => {
                return Err(Failure::new(LdapResultCode::UnwillingToPerform, "a bind with a name needs a password"));
            }
            LdapBindCred::Simple(password) => {
                if !self.secure {
                    return Err(Failure::new(
                        LdapResultCode::ConfidentialityRequired,
                        "passwords are sent over TLS only",
                    ));
                }
                let operator = format!("cn=operator,{}", self.place.tree.suffix_text());
                let named = dn::Dn::parse(&request.dn)? == dn::Dn::parse(&operator)?;
                // The password is checked for other names too, so that the time taken does not tell which names exist.
                if !(self.place.app.is_operator(Some(password)) && named) {
                    return Err(wrong());
                }
                self.reader = Reader::Operator;
                self.who = format!("dn:{operator}");
            }
            LdapBindCred::SASL(sasl) if sasl.mechanism.eq_ignore_ascii_case("EXTERNAL") => {
                let none = "EXTERNAL needs a client certificate, and none was presented";
                let none = || Failure::new(LdapResultCode::InappropriateAuthentication, none);
                let key = self.proven.ok_or_else(none)?;
                let party = self.place.app.party(key).ok_or_else(wrong)?;
                let who = format!("u:{}", party.node);
                // RFC 4422, appendix A: clients may act only as themselves.
                if !sasl.credentials.is_empty() && sasl.credentials != who.as_bytes() {
                    return Err(wrong());
                }
                (self.reader, self.who) = (Reader::Key(key), who);
            }
            LdapBindCred::SASL(_) | LdapBindCred::Unsupported => {
                return Err(Failure::new(LdapResultCode::AuthMethodNotSupported, ""));
            }
        }
        Ok(LdapResultCode::Success)
    }

    pub(super) fn extended(&mut self, id: i32, request: LdapExtendedRequest) -> Option<Next> {
        let refuse = |code, text: &str| Err(Failure::new(code, text));
        let result = match request.name.as_str() {
            WHO_AM_I if request.value.is_none() => {
                let who = self.who.clone();
                let operation = message::result(message::EXTENDED + 1, &Ok(LdapResultCode::Success), |out| {
                    ber::primitive(out, 0x8b, who.as_bytes());
                });
                message::write(&mut self.output, id, &operation, &[]);
                return None;
            }
            START_TLS if request.value.is_some() => refuse(LdapResultCode::ProtocolError, "StartTLS takes no value"),
            START_TLS if self.secure => refuse(LdapResultCode::OperationsError, "TLS is already in use"),
            // RFC 4513, 3.1.1.
            START_TLS if self.persists() => {
                refuse(LdapResultCode::OperationsError, "TLS does not begin while a search goes on")
            }
            START_TLS if !self.place.has_tls => refuse(LdapResultCode::ProtocolError, "this server has no certificate"),
            START_TLS if !self.waiting.is_empty() || self.unread() > 0 => {
                // What was sent before TLS could come from anybody: it must not be taken as if it came over TLS.
                self.end(LdapResultCode::ProtocolError, "nothing may be sent between StartTLS and its answer");
                return Some(Next::End);
            }
            START_TLS => {
                let operation = message::result(message::EXTENDED + 1, &Ok(LdapResultCode::Success), |out| {
                    ber::primitive(out, 0x8a, START_TLS.as_bytes());
                });
                message::write(&mut self.output, id, &operation, &[]);
                // The identity and the paged searches from before TLS are not taken over.
                self.reader = Reader::Anonymous;
                self.who.clear();
                self.paging = Paging::default();
                return Some(Next::StartTls);
            }
            _ => refuse(LdapResultCode::ProtocolError, "this server does not know the extended operation"),
        };
        self.answer(id, message::EXTENDED + 1, &result);
        None
    }
}

"""An operator whose connection stands while strangers come; arguments are the two ports and the certificate to trust."""
import ssl
import sys

from ldap3 import NONE, Connection, Server, Tls

plain, secure, certificate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=certificate)
over_tls = Server("127.0.0.1", port=secure, use_ssl=True, tls=tls, get_info=NONE)
operator = Connection(over_tls, "cn=operator,o=ics", "only for operators", auto_bind=True)
strangers = []
for _ in range(5):
    strangers.append(Connection(Server("127.0.0.1", port=plain, get_info=NONE), auto_bind=True))
print("operator", operator.extend.standard.who_am_i())

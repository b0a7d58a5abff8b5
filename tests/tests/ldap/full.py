"""An operator who has the only place, and a stranger who finds none; arguments are the two ports and the certificate to
trust."""
import socket
import ssl
import sys

from ldap3 import NONE, Connection, Server, Tls

plain, secure, certificate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=certificate)
over_tls = Server("127.0.0.1", port=secure, use_ssl=True, tls=tls, get_info=NONE)
operator = Connection(over_tls, "cn=operator,o=ics", "only for operators", auto_bind=True)
told = b""
with socket.create_connection(("127.0.0.1", plain), timeout=60) as stranger:
    while part := stranger.recv(1000):
        told += part
print("told", b"1.3.6.1.4.1.1466.20036" in told)
print("operator", operator.extend.standard.who_am_i())

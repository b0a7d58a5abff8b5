"""What an application does with python3-ldap3: arguments are the two ports and the certificate to trust."""
import ssl
import sys

from ldap3 import ALL, BASE, SUBTREE, Connection, Server, Tls

plain, secure, certificate = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
tls = Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=certificate)
server = Server("127.0.0.1", port=plain, get_info=ALL, tls=tls)
domain = "icsDomain=devices.acme.example,o=ics"

with Connection(server, auto_bind=True, raise_exceptions=True) as connection:
    assert "icsIdentityEntry" in server.schema.object_classes
    assert server.schema.attribute_types["icsAsOfTime"].single_value
    assert set(server.info.naming_contexts) == {"o=ics", "cn=Log"}
    print("schema ok")
    connection.search(domain, "(icsName=serial:SN-13)", SUBTREE, attributes=["*", "+"])
    [entry] = connection.entries
    assert entry.icsStatus.value == "stolen" and entry.icsStatusSince.value.year == 2026
    print("search ok")
    pages = connection.extend.standard.paged_search(domain, "(objectClass=*)", SUBTREE, paged_size=5, generator=True)
    print("pages", len(list(pages)))
    print("compare", connection.compare(entry.entry_dn, "icsKind", "device"))
    connection.start_tls()
    connection.search("", "(objectClass=*)", BASE, attributes=["vendorName"])
    print("starttls ok")

over_tls = Server("127.0.0.1", port=secure, use_ssl=True, tls=tls)
with Connection(over_tls, "cn=operator,o=ics", "only for operators", auto_bind=True) as connection:
    print("operator", connection.extend.standard.who_am_i())

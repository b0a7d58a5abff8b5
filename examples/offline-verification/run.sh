#!/usr/bin/env bash
# A record is exported from a node, carried to a place without a network, and verified there: by `ics verify --document`,
# which checks signatures, rules and the place of every statement in the log, by stock gpg, which checks signatures, and by
# sha256sum and openssl (check-entry), which show that an entry is in the log.
. "$(dirname "$0")/../lib.sh"

acme=$(address 5)

step "1. A manufacturer's node with a device and a piece of software"
as acme init --role manufacturer --domain devices.acme.example --listen "$acme" --generate-passphrase
serve acme "$acme"
openssl ecparam -name prime256v1 -genkey -noout -out "$work/pump.key"
openssl ec -in "$work/pump.key" -pubout -out "$work/pump.pem" 2>/dev/null
as acme publish --key "$work/pump.pem" --serial SN-0001 --manu Acme --model P7
as acme approve serial:SN-0001 --yes
as acme publish --group 'Model P7' --select model=P7

step "2. What is carried away: evidence, the OpenPGP statements, and the signer's certificate"
mkdir "$work/usb-stick"
as acme export serial:SN-0001 -o "$work/usb-stick/pump.evidence.json"
as acme export serial:SN-0001 --openpgp --armor -o "$work/usb-stick/pump.asc"
as acme key show signer --armor >"$work/usb-stick/acme.asc"
group=$(as acme --json list --kind group | sed -n 's/.*"id": *"\(sha256:[0-9a-f]*\)".*/\1/p')
as acme export "$group" --openpgp -o "$work/usb-stick/model-p7.pgp"
# One entry with its proof, as anybody gets it who has nothing but curl.
log=http://$acme/v1/domains/devices.acme.example
member() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
curl --silent --fail "$log/entries/2/tlog-proof" >"$work/usb-stick/entry-2.tlog-proof"
curl --silent --fail "$log/entries/2" | member body | base64 --decode >"$work/usb-stick/entry-2.pgp"
# The origin (the domain's name and the hash of its entry 0) and the log's key are delivered separately: they are what the
# verifier trusts.
origin=$(curl --silent --fail "$log" | member origin)
log_key=$(curl --silent --fail "$log" | member verifier_key)

step "3. The node is stopped"
kill "${nodes[0]}" && wait "${nodes[0]}" || true
nodes=()

step "4. ics verify --document: no node, no keys, no configuration, only the file and the origin"
as nobody verify --document "$work/usb-stick/pump.evidence.json" --pin "$origin"

step "5. Evidence with one changed character is refused"
sed -E '0,/"body"/{s/("body": ".{40})[A-M]/\1Z/;t;s/("body": ".{40})./\1A/}' "$work/usb-stick/pump.evidence.json" >"$work/tampered.json"
refused nobody verify --document "$work/tampered.json" --pin "$origin"

step "6. Evidence from another domain with the same name is refused, too"
refused nobody verify --document "$work/usb-stick/pump.evidence.json" --pin "devices.acme.example/$(printf '0%.0s' {1..64})"

step "7. gpg alone: who vouches for the device, with the notations that say for what"
mkdir -m 700 "$work/gnupg"
export GNUPGHOME=$work/gnupg
gpg --batch --quiet --import "$work/usb-stick/acme.asc"
gpg --batch --quiet --allow-non-selfsigned-uid --import "$work/usb-stick/pump.asc"
gpg --batch --list-options show-notations --check-sigs 'SN-0001'

step "8. gpg alone: a document about a group"
gpg --batch --verify "$work/usb-stick/model-p7.pgp" 2>&1

step "9. sha256sum and openssl alone: the entry is in the log, and an altered one is not"
check_entry() { "$repository/examples/offline-verification/check-entry" "$work/usb-stick/entry-2.tlog-proof" "$1" "$log_key"; }
check_entry "$work/usb-stick/entry-2.pgp"
{ cat "$work/usb-stick/entry-2.pgp" && echo; } >"$work/altered.pgp"
if check_entry "$work/altered.pgp"; then exit 1; else echo "exit code $?"; fi

step "Done"

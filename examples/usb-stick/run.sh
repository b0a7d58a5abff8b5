#!/usr/bin/env bash
# A gateway without a network: what it must know comes on a USB stick, and what it says goes back on it. Its node verifies
# what is on the stick as it verifies what comes over a network, so the carrier need not be trusted. If a
# domain's rules hide part of it from the gateway, the carrier could leave out more; then the node says `unconfirmed`.
. "$(dirname "$0")/../lib.sh"

plant=$(address 20) site=$(address 21)
stick=$work/stick
mkdir "$stick"

# What two parties tell each other once, on paper: the key of a node, and the origin of a domain.
key_of() { curl --silent --fail "http://$1/v1/node" | grep -o '"key":"[^"]*"' | cut -d'"' -f4; }
origin_of() { curl --silent --fail "http://$1/v1/domains/$2" | grep -o '"origin":"[^"]*"' | cut -d'"' -f4; }

step "1. The plant's node, and two pumps in use"
as plant init --role maintenance --domain plant.example --listen "$plant" --generate-passphrase
serve plant "$plant"
for number in 0001 0002; do
    openssl genpkey -algorithm ed25519 -out "$work/$number.key"
    openssl pkey -in "$work/$number.key" -pubout -out "$work/$number.pem"
    as plant publish --key "$work/$number.pem" --serial "SN-$number" --model P7
    as plant approve "serial:SN-$number" --yes
    as plant status in-use "serial:SN-$number" --yes
done

step "2. The gateway is somewhere else. Each node knows the other as a peer by its key, without an address"
as site init --role infield --domain site4.plant.example --listen "$site" --generate-passphrase
origin=$(origin_of "$plant" plant.example)
as site peer add plant --key "$(key_of "$plant")" "$origin"
as site trust init --permit anything-vouched --domain "$origin" --fresh 86400
printf '\n[trust]\npolicy = "trust.json"\n' >>"$work/site/ics.toml"
serve site "$site" livez
as plant peer add site4 --key "$(key_of "$site")" "$(origin_of "$site" site4.plant.example)"
as site key show signer --armor >"$work/site.asc"
as plant grant integrator serial:SN-0001 --to "$work/site.asc" --yes

step "3. At the plant: all that the gateway may read goes onto the stick"
as plant export --bundle --for site4 -o "$stick/to-site4.bundle"

step "4. At the gateway: until now it could not tell; now it decides by what it was brought"
refused site lookup serial:SN-0001 --use connect
as site import --bundle "$stick/to-site4.bundle"
as site lookup serial:SN-0001 --use connect

step "5. Somebody there suspends a pump, in the plant's own domain. The statement waits for the next visitor"
as site status suspended serial:SN-0001 --reason 'it leaks' --domain plant.example --role integrator --yes
as site export --bundle --for plant -o "$stick/to-plant.bundle"

step "6. At the plant: the statement is submitted, and the gateway's own domain is copied"
as plant import --bundle "$stick/to-plant.bundle"
as plant lookup serial:SN-0001

step "7. Back to the gateway with only what is new: it says that the statement has arrived"
as plant export --bundle --for site4 --since "$stick/to-plant.bundle" -o "$stick/news.bundle"
as site import --bundle "$stick/news.bundle"
as site outbox
refused site lookup serial:SN-0001 --use connect
as site lookup serial:SN-0002 --use connect

step "8. The stick was pulled out too early"
head --bytes=-20 "$stick/news.bundle" >"$stick/torn.bundle"
refused site import --bundle "$stick/torn.bundle"
as site lookup serial:SN-0002 --use connect

step "Done"

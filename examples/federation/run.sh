#!/usr/bin/env bash
# A federation on one machine, step by step: five parties, each with its own keys, rules, log and node. They trust each
# other only as far as signatures go. On five machines it works the same way, with other addresses and with TLS.
. "$(dirname "$0")/../lib.sh"

acme=$(address 0) soft=$(address 1) cert=$(address 2) plant=$(address 3) site=$(address 4)

step "1. Each party makes keys, the rules of its domain from a template, and a configuration"
# --generate-passphrase stores the passphrase beside the keys: fine for an example, wrong for an owner's key in real use.
as acme  init --role manufacturer  --domain devices.acme.example     --listen "$acme"  --generate-passphrase
as soft  init --role developer     --domain code.soft.example        --listen "$soft"  --generate-passphrase
as cert  init --role certification --domain labels.cert.example      --listen "$cert"  --generate-passphrase
as plant init --role maintenance   --domain plant.integrator.example --listen "$plant" --generate-passphrase
as site  init --role infield       --domain site4.plant.example      --listen "$site"  --generate-passphrase

step "2. The manufacturer and the developer start their nodes"
serve acme "$acme"
serve soft "$soft"

step "3. The others mirror the domains that they need"
# A mirror holds the whole log of a domain and checks that it is the same log. In real use, give the full origin (name and
# hash of entry 0) as published by the owners; --yes believes the peer.
as cert peer add acme devices.acme.example --url "http://$acme" --yes
serve cert "$cert"
as plant peer add acme devices.acme.example --url "http://$acme" --yes
as plant peer add soft code.soft.example    --url "http://$soft" --yes
as plant peer add cert labels.cert.example  --url "http://$cert" --yes
serve plant "$plant"

step "4. The integrator's rules say from which domains to adopt, and who speaks there in which role"
for source in acme:devices.acme.example:manufacturer soft:code.soft.example:developer cert:labels.cert.example:certification-body
do
    IFS=: read -r party domain role <<<"$source"
    # The signer's certificate and the domain's origin, as its party would publish them.
    as "$party" key show signer --armor >"$work/$party.asc"
    curl --silent --fail "http://${!party}/v1/domains/$domain" >"$work/$party.json"
done
as plant domain update \
    --add-source "$work/acme.json" --add-signer "manufacturer=$work/acme.asc" --add-names 'manufacturer=serial:*' \
    --add-source "$work/soft.json" --add-signer "developer=$work/soft.asc" \
    --add-source "$work/cert.json" --add-signer "certification-body=$work/cert.asc"
as plant domain submit

step "5. The gateway mirrors the manufacturer and the integrator, and decides by a policy of its own"
# It pulls both from the integrator's node: the home's signatures travel along, so any mirror is as good as the home.
until_ok curl --silent --fail --output /dev/null "http://$plant/v1/domains/devices.acme.example"
as site peer add plant devices.acme.example     --url "http://$plant" --yes
as site peer add plant plant.integrator.example --url "http://$plant" --yes
cat >"$work/site/trust.json" <<JSON
{
  "domains": [$(origin site devices.acme.example), $(origin site plant.integrator.example)],
  "freshness": { "default": 3600 },
  "rules": "@id(\"vouched-and-in-use\") permit (principal, action in Action::\"use\", resource) when { principal.vouching_roles.contains(\"manufacturer\") && principal.approving_roles.contains(\"integrator\") && principal.effect == Effect::\"permits\" };"
}
JSON
printf '\n[trust]\npolicy = "trust.json"\n' >>"$work/site/ics.toml"
serve site "$site"

step "6. The manufacturer publishes a pump, a day's production, and the lot that they belong to"
# The pump's key is generated in a secure element; only the public half ever leaves it.
openssl ecparam -name prime256v1 -genkey -noout -out "$work/pump.key"
openssl ec -in "$work/pump.key" -pubout -out "$work/pump.pem" 2>/dev/null
as acme publish --key "$work/pump.pem" --serial SN-0001 --manu Acme --model P7 --lot 2026-11
{
    echo key,serial
    for number in 0002 0003 0004; do
        openssl genpkey -algorithm ed25519 -out "$work/$number.key"
        openssl pkey -in "$work/$number.key" -pubout -out "$work/$number.pem"
        echo "$number.pem,SN-$number"
    done
} >"$work/day.csv"
as acme publish --from "$work/day.csv" --manu Acme --model P7 --lot 2026-11
# Other manufacturers may have a model and a lot of the same name: the group selects only this one's.
as acme publish --group 'Lot 2026-11' --select manu=Acme --select model=P7 --select lot=2026-11

step "7. The developer publishes code, and the certification body labels the pump"
echo 'the firmware of the pump' >"$work/firmware.bin"
as soft publish --file "$work/firmware.bin" --name p7-firmware --version 2.4.1
until_ok as cert lookup serial:SN-0001
as cert label medical-device-2027 serial:SN-0001 --yes
# Everybody finds this register at the body's node, also as a page: /domain/labels.cert.example
as cert list --label medical-device-2027

step "8. The integrator adopts the pump, approves it and puts it into use"
until_ok as plant adopt --from devices.acme.example serial:SN-0001
until_ok as plant adopt --from labels.cert.example serial:SN-0001
as plant approve serial:SN-0001 --yes
as plant status in-use serial:SN-0001 --yes
as plant lookup serial:SN-0001 --domain plant.integrator.example

step "9. The gateway allows the pump to connect"
until_ok as site lookup serial:SN-0001 --use connect

step "10. The manufacturer makes the buyer the pump's owner, who can now make statements in the manufacturer's domain"
# The signer submits to their own node, which passes it on to the domain's home.
as plant key show signer --armor >"$work/plant.asc"
as acme grant owner serial:SN-0001 --to "$work/plant.asc" --yes
until_ok as plant status in-use serial:SN-0001 --domain devices.acme.example --role owner --yes

step "11. The pump is stolen: the gateway denies it"
as plant status stolen serial:SN-0001 --reason 'taken from site 4' --yes
until_ok refused site lookup serial:SN-0001 --use connect

step "12. Another pump of the lot is in use; the manufacturer recalls the whole lot with one signature"
until_ok as plant adopt --from devices.acme.example serial:SN-0002
as plant approve serial:SN-0002 --yes
as plant status in-use serial:SN-0002 --yes
until_ok as site lookup serial:SN-0002 --use connect
as acme status suspended --group 'Lot 2026-11' --reason 'the battery may overheat' --yes
until_ok refused site lookup serial:SN-0002 --use connect

step "13. Every copy is the same log"
# The second line of a checkpoint is the log's size, the third its root in base64.
head_of() { curl --silent --fail "http://$1/v1/domains/devices.acme.example/checkpoint" | sed -n 2,3p; }
the_same() { [ "$(head_of "$acme")" = "$(head_of "$1")" ]; }
for node in "$cert" "$plant" "$site"; do
    until_ok the_same "$node"
    echo "$node has the log of the home: $(head_of "$node" | tr '\n' ' ')"
done
as site peer status

step "Done"

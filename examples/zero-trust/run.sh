#!/usr/bin/env bash
# The zero-trust loop: a security controller reads a stream of anomalies and suspends a device with one signed statement.
# Everything that follows the domain reacts at once: the gateway denies the device, and its public page says so and why.
# The controller can do nothing else; the owner investigates and lifts the suspension.
. "$(dirname "$0")/../lib.sh"

plant=$(address 6) site=$(address 7)

step "1. The plant's node, its rules, and two pumps in use"
as plant init --role maintenance --domain plant.example --listen "$plant" --generate-passphrase
serve plant "$plant"
for number in 0001 0002; do
    openssl genpkey -algorithm ed25519 -out "$work/$number.key"
    openssl pkey -in "$work/$number.key" -pubout -out "$work/$number.pem"
    as plant publish --key "$work/$number.pem" --serial "SN-$number" --model P7
    as plant approve "serial:SN-$number" --yes
    as plant status in-use "serial:SN-$number" --yes
done

step "2. The security controller is a client with a key of its own; the owners name it in the rules, and name the owner"
# It has no node and no other rights: the rules let its role say `suspended`, and withdraw that.
mkdir -m 700 "$work/monitor"
(umask 077 && openssl rand -hex 24 >"$work/monitor/passphrase")
cat >"$work/monitor/ics.toml" <<TOML
[client]
node = "http://$plant"
domain = "plant.example"
signer = "signer"
role = "security-controller"
TOML
as monitor key make signer --user-id 'Plant monitor'
as monitor key show signer --armor >"$work/monitor.asc"
as plant key make owner-desk --user-id 'Owner of the plant'
as plant key show owner-desk --armor >"$work/owner.asc"
as plant domain update --add-signer "security-controller=$work/monitor.asc" --add-signer "owner=$work/owner.asc"
as plant domain submit

step "3. The gateway mirrors the domain and decides by a policy of its own"
gateway_that_follows "$plant" "$site"
until_ok as site lookup serial:SN-0001 --use connect
until_ok as site lookup serial:SN-0002 --use connect

step "4. The loop: an anomaly that is more than 90 % sure suspends the device, once"
declare -A suspended=()
while IFS=$'\t' read -r device sureness seen; do
    [[ $device == serial:* ]] || continue
    printf '%3d %%  %s  %s\n' "$sureness" "$device" "$seen"
    if ((sureness > 90)) && [ -z "${suspended[$device]:-}" ]; then
        as monitor status suspended "$device" --reason "$seen" --yes
        suspended[$device]=1
    fi
done <"$(dirname "$0")/anomalies.tsv"

step "5. The gateway denies the pump, and says why; the other pump goes on"
until_ok refused site lookup serial:SN-0001 --use connect
as site explain serial:SN-0001 --use connect
as site lookup serial:SN-0002 --use connect

step "6. The public page that the code on the pump leads to says the same"
page() { curl --silent --fail "http://$site/id/$1" | sed -n 's/.*id="answer">\([^<]*\)<.*/the page of '"$1"' says: \1/p'; }
page serial:SN-0001
page serial:SN-0002

step "7. The controller cannot put the pump back into use: only the owner may do that"
refused monitor status in-use serial:SN-0001 --yes

step "8. The owner has investigated, and lifts the suspension"
as plant status in-use serial:SN-0001 --lift --signer owner-desk --role owner --reason 'new password, firmware checked' --yes
until_ok as site lookup serial:SN-0001 --use connect
page serial:SN-0001
as site history serial:SN-0001 --domain plant.example

step "Done"

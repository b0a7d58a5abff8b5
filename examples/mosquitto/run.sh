#!/usr/bin/env bash
# A gateway with mosquitto: devices connect with certificates, and an agent gives them their role while the gateway's node
# says that they may connect. The sessions of a suspended device end within a second; if it reconnects it has no rights,
# not even in a session that the broker has kept for it.
. "$(dirname "$0")/../lib.sh"
PATH=$PATH:/usr/sbin:/sbin # where Debian puts servers

plant=$(address 12) site=$(address 13) agent=$(address 14) tls=$(address 15)

step "1. The plant with two pumps in use, and the gateway's node"
gateway_of_a_plant "$plant" "$site" SN-0001 SN-0002

step "2. The gateway's authority certifies the pumps' keys; their common names are their serial numbers"
certify() {
    openssl x509 -req -in "$1" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days 30 \
        -extfile <(echo "$3") -out "$2" 2>/dev/null
}
new_key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${new_key[@]}" -days 30 -subj '/CN=Gateway 4' -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
openssl req "${new_key[@]}" -subj /CN=gateway -keyout "$work/gateway.key" -out "$work/gateway.csr" 2>/dev/null
certify "$work/gateway.csr" "$work/gateway.crt" 'subjectAltName=IP:127.0.0.1'
for serial in SN-0001 SN-0002; do
    openssl req -new -key "$work/$serial.key" -subj "/CN=$serial" -out "$work/$serial.csr"
    certify "$work/$serial.csr" "$work/$serial.crt" 'extendedKeyUsage=clientAuth'
done

step "3. mosquitto, with a client for the agent whose name nobody can guess"
# A device with a certificate for this name would act as the agent: the name is random, so that nobody can have an
# authority issue one.
name=ics-agent-$(openssl rand -hex 16)
(umask 077 && openssl rand -hex 24 >"$work/password")
mosquitto_ctrl dynsec init "$work/dynamic-security.json" "$name" "$(cat "$work/password")" >/dev/null
sed -e "s|@work@|$work|; s|@agent_port@|${agent#*:}|; s|@tls_port@|${tls#*:}|; s|@user@|$(id -un)|" \
    -e "s|@plugin@|$(ls /usr/lib/*/mosquitto_dynamic_security.so)|" "$(dirname "$0")/gateway.conf" >"$work/mosquitto.conf"
mosquitto -c "$work/mosquitto.conf" 2>"$work/mosquitto.log" &
nodes+=($!)
# mosquitto_ctrl takes the password from a file of options; it warns that the listener for this machine has no TLS.
printf -- '-h 127.0.0.1\n-p %s\n-u %s\n-P %s\n' "${agent#*:}" "$name" "$(cat "$work/password")" >"$work/mosquitto_ctrl"
control() { HOME=$work XDG_CONFIG_HOME=$work mosquitto_ctrl dynsec "$@" 2>/dev/null; }
until_ok control getDefaultACLAccess
control createRole ics-device
for right in publishClientSend publishClientReceive subscribePattern; do
    control addRoleACL ics-device "$right" 'plant/#' allow
done
control createGroup ics
for serial in SN-0001 SN-0002; do
    control createClient "$serial" -p "$(openssl rand -hex 16)"
    control addGroupClient ics "$serial"
done

step "4. The agent follows the gateway's node"
agent_command=(agent mosquitto --broker "$agent" --user "$name" --password-file "$work/password")
show site "${agent_command[@]}"
"$ICS" --home "$work/site" "${agent_command[@]}" >"$work/agent.log" 2>&1 &
nodes+=($!)
said() { grep -q "$1" "$work/agent.log"; }
until_ok said 'let in SN-0002'
cat "$work/agent.log"

hold

step "5. The first pump listens, in a session that the broker keeps; the second speaks"
options() { echo "-h 127.0.0.1 -p ${tls#*:} --cafile $work/ca.crt --cert $work/$1.crt --key $work/$1.key -q 1 -t plant/valve"; }
say() { mosquitto_pub $(options SN-0002) -m "$1"; }
# Prints each line as soon as it arrives.
listen=(stdbuf -oL mosquitto_sub $(options SN-0001) --disable-clean-session --id pump-1 -d)
"${listen[@]}" >"$work/heard" 2>&1 &
nodes+=($!)
until_ok grep -q 'Subscribed' "$work/heard"
say open
until_ok grep -x open "$work/heard"

step "6. The plant suspends the first pump: its session ends, and it has no rights when it connects again"
as plant status suspended serial:SN-0001 --reason 'talks to strangers' --yes
until_ok said 'ended SN-0001'
tail -1 "$work/agent.log"
until_ok grep -q 'Client pump-1 been disconnected by administrative action' "$work/mosquitto.log"
until_ok grep -q 'All subscription requests were denied' "$work/heard"
echo "the broker denies it what it asks for"
say close
# Even without subscribing anew, a client would still receive what its session was subscribed to.
"${listen[@]}" -W 2 >>"$work/heard" 2>&1 || true
if grep -x close "$work/heard"; then echo "error: the suspended pump hears"; exit 1; fi
echo "and tells it nothing"

step "7. The owner lifts the suspension: the pump is let in again"
as plant status in-use serial:SN-0001 --lift --signer owner-desk --role owner --yes
let_in_twice() { [ "$(grep -c 'let in SN-0001' "$work/agent.log")" = 2 ]; }
until_ok let_in_twice
"${listen[@]}" >"$work/heard-again" 2>&1 &
nodes+=($!)
until_ok grep -q 'Subscribed' "$work/heard-again"
say 'open again'
until_ok grep -x 'open again' "$work/heard-again"

step "8. Without the gateway's node, the agent reports that; clients stay allowed only while the last news is fresh"
kill "${nodes[1]}"
until_ok said 'trouble'
tail -1 "$work/agent.log"

step "Done"

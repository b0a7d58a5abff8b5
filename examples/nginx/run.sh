#!/usr/bin/env bash
# A gateway with nginx: devices connect with client certificates, and each request is let through only while the gateway's
# node says that the device may connect. A suspended device is refused at its next request, even on a connection that is
# already open; nothing is reloaded.
. "$(dirname "$0")/../lib.sh"
PATH=$PATH:/usr/sbin:/sbin # where Debian puts servers

plant=$(address 8) site=$(address 9) https=$(address 10) service=$(address 11)

step "1. The plant with two pumps in use, and the gateway's node"
gateway_of_a_plant "$plant" "$site" SN-0001 SN-0002

step "2. nginx on the gateway"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=gateway \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/gateway.key" -out "$work/gateway.crt" 2>/dev/null
sed -e "s|@work@|$work|; s|@ics@|$site|; s|@https@|$https|; s|@service@|$service|" \
    "$(dirname "$0")/gateway.conf" >"$work/nginx.conf"
nginx -c "$work/nginx.conf" -g 'daemon off;' 2>"$work/nginx.log" &
nodes+=($!)

# A request by a device: prints the status, the node's reason, and the service's answer.
request() {
    local serial=$1
    printf '%s: ' "$serial"
    curl --silent --show-error --cacert "$work/gateway.crt" --cert "$work/$serial.crt" --key "$work/$serial.key" \
        --write-out '%{http_code} %header{ics-reason}\n' --output /dev/null "https://$https/"
}
answers() { [[ $(request "$1" 2>/dev/null) == "$1: $2"* ]]; }

step "3. Both pumps get through; a stranger and somebody without a certificate do not"
until_ok answers SN-0001 200
hold
request SN-0001
request SN-0002
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=SN-0001 \
    -keyout "$work/stranger.key" -out "$work/stranger.crt" 2>/dev/null
request stranger
curl --silent --cacert "$work/gateway.crt" --output /dev/null --write-out 'nobody: %{http_code}\n' "https://$https/"

step "4. The plant suspends a pump: its next request is refused, the other pump goes on"
as plant status suspended serial:SN-0001 --reason 'talks to strangers' --yes
until_ok answers SN-0001 403
request SN-0001
request SN-0002

step "5. The owner lifts the suspension: the pump is let in again"
as plant status in-use serial:SN-0001 --lift --signer owner-desk --role owner --yes
until_ok answers SN-0001 200
request SN-0001

step "6. Without the gateway's node nobody can tell, and nothing is let through"
kill "${nodes[1]}"
until_ok answers SN-0002 503
request SN-0002

step "Done"

#!/usr/bin/env bash
# A gateway in a single program: it embeds the mirror and the decision (main.rs beside this script) and asks no node.
. "$(dirname "$0")/../lib.sh"

plant=$(address 18) site=$(address 19)
program=${EMBEDDED_GATEWAY:-$repository/target/release/embedded-gateway}

step "1. The plant with two pumps in use, and a home directory for the gateway"
gateway_of_a_plant "$plant" "$site" SN-0001 SN-0002
stop_last_node

step "2. The gateway's program opens that directory, and decides in its own process"
mkfifo "$work/input"
"$program" "$work/site" serial:SN-0001 serial:SN-0002 serial:SN-0003 <"$work/input" >"$work/said" 2>&1 &
nodes+=($!)
exec 3>"$work/input" # the program runs until this is closed
said() { grep -q "$1" "$work/said"; }
until_ok said 'SN-0002: allow'
until_ok said 'SN-0003: unknown'

step "3. The plant suspends a pump, and lifts the suspension"
as plant status suspended serial:SN-0001 --reason 'talks to strangers' --yes
until_ok said 'SN-0001: deny'
as plant status in-use serial:SN-0001 --lift --signer owner-desk --role owner --yes
let_in_twice() { [ "$(grep -c 'SN-0001: allow' "$work/said")" = 2 ]; }
until_ok let_in_twice

step "4. The program goes on without the plant's node, for as long as its news is fresh"
kill "${nodes[0]}"
exec 3>&-
wait "${nodes[1]}"
cat "$work/said"

step "Done"

#!/usr/bin/env bash
# Makes first-release.tar.gz beside this script: the home directory of a node as the first release of `ics` left it,
# schema version 1 of its store. Newer versions are tested against it; it is never made anew with one of them.
#
#   git worktree add /tmp/first 3090937 && (cd /tmp/first && cargo build --package ics-node)
#   ICS=/tmp/first/target/debug/ics tests/assets/first-release.sh
set -euo pipefail
ICS=${ICS:?names the program of the first release}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'kill "$node" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
ics() { "$ICS" --home home --json "$@"; }

ics init --role manufacturer --domain devices.acme.example --listen 127.0.0.1:0 --generate-passphrase >/dev/null
"$ICS" --home home --json serve >address 2>/dev/null &
node=$!
until grep -q listening address; do kill -0 "$node" && sleep 0.1; done
url=$(sed -n 's/.*"listening":"\([^"]*\)".*/\1/p' address)
sed -i "s|^\[client\]|[client]\nnode = \"$url\"|" home/ics.toml

# More entries than a tile has.
{
    echo spki,serial
    for number in $(seq 300); do
        openssl genpkey -algorithm ed25519 2>/dev/null | openssl pkey -pubout -outform DER 2>/dev/null | base64 -w0
        echo ",SN-$number"
    done
} >devices.csv
ics publish --from devices.csv --manu Acme --model P7 --lot 2026-11 >/dev/null
ics publish --group "Lot 2026-11" --select model=P7 --select lot=2026-11 >/dev/null
ics status stolen serial:SN-2 --reason "taken from site 4" --yes >/dev/null
ics status suspended --group "Lot 2026-11" --reason "the battery may overheat" --yes >/dev/null

kill "$node"
wait "$node"
sed -i '/^node = /d' home/ics.toml
rm -rf home/data/index.db* home/data/lock
tar --sort=name --owner=0 --group=0 --numeric-owner -czf "$here/first-release.tar.gz" home
ls -l "$here/first-release.tar.gz"

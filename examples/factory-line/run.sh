#!/usr/bin/env bash
# A factory's day: a list of devices named by their MAC addresses under real OUIs is published in one go, and each is found
# by its name. DEVICES is their number; 1,000,000 take some minutes, and a gigabyte in the directory for temporary files
# (TMPDIR).
. "$(dirname "$0")/../lib.sh"

acme=$(address 5)
devices=${DEVICES:-3000}
FACTORY_LINE=${FACTORY_LINE:-$repository/target/release/factory-line}
[ -x "$FACTORY_LINE" ] || { echo "error: $FACTORY_LINE is missing: run cargo build --release --workspace first" >&2; exit 1; }

step "1. The list of devices that the line has made"
"$FACTORY_LINE" --devices "$devices" >"$work/devices.csv"
head -n 3 "$work/devices.csv"

step "2. The manufacturer's node"
as acme init --role manufacturer --domain devices.acme.example --listen "$acme" --generate-passphrase
as acme domain update --add-names 'manufacturer=urn:dev:mac:*'
serve acme "$acme"
as acme domain submit

step "3. All devices are published"
as acme publish --from "$work/devices.csv" --manu Acme --model P7 --lot 2026-11

step "4. Each device is found by its MAC address"
last=$(tail -n 1 "$work/devices.csv")
as acme lookup "${last##*,}"

step "Done"

# What the examples share: the program, a working directory, and nodes that stop when the script ends.
# To be sourced by bash.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ICS=${ICS:-$repository/target/release/ics}
[ -x "$ICS" ] || { echo "error: $ICS is missing: run cargo build --release first, or name the program with ICS=…" >&2; exit 1; }

# All nodes are on this machine, so a proxy set in the environment must not be used.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

work=$(mktemp -d "${TMPDIR:-/tmp}/ics-example.XXXXXX")
nodes=()

finish() {
    local code=$?
    for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done
    for node in "${nodes[@]}"; do wait "$node" 2>/dev/null || true; done
    if [ -n "${KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

step() { printf '\n== %s\n' "$*"; }

# Shows a command of a party as you would type it in the working directory of this example.
show() {
    local party=$1 word line=""
    shift
    for word in "$@"; do
        word=${word//$work\//}
        [[ $word =~ ^[[:alnum:]_./:=,@-]+$ ]] || word="'$word'"
        line+=" $word"
    done
    printf '%s$ ics%s\n' "$party" "$line" >&2
}

# Runs a command of a party: `as acme publish …` is `ics --home $work/acme publish …`.
as() {
    show "$@"
    local party=$1
    shift
    "$ICS" --home "$work/$party" "$@"
}

# Likewise, for a command that must be refused.
refused() { if as "$@"; then return 1; else echo "exit code $?"; fi; }

# Repeats a command until it succeeds, for at most 60 seconds, because news takes time to reach other nodes. Shows the
# output of the last try.
until_ok() {
    local end=$((SECONDS + 60))
    until "$@" >"$work/last" 2>&1; do
        ((SECONDS < end)) || { echo "error: not within 60 seconds: $*" >&2; cat "$work/last" >&2; exit 1; }
        sleep 0.1
    done
    cat "$work/last"
}

# The nth address of this example. PORT is the first port; the others follow.
address() { echo "127.0.0.1:$((${PORT:-18470} + $1))"; }

# The origin of a domain as pinned by a party, in quotes: `origin site plant.example`.
origin() { grep -o "\"$2/[0-9a-f]*\"" "$work/$1/ics.toml" | head -1; }

# Starts the node of a party and waits until it is ready for all its work, or until it answers at the path that is given.
serve() {
    local party=$1 address=$2 path=${3:-readyz}
    show "$party" serve
    "$ICS" --home "$work/$party" serve >"$work/$party.log" 2>&1 &
    nodes+=($!)
    until_ok curl --silent --fail --output /dev/null "http://$address/$path"
}

# With HOLD=1 an example pauses here until its input ends, so that you can measure or look around.
hold() {
    [ -n "${HOLD:-}" ] || return 0
    echo "ready $work"
    cat >/dev/null
    exit 0
}

# Stops the node that was started last.
stop_last_node() {
    local last=$((${#nodes[@]} - 1))
    kill "${nodes[last]}"
    wait "${nodes[last]}" || true
    unset "nodes[last]"
}

# The gateway's node, which mirrors the plant and decides by a policy of its own.
#     gateway_that_follows PLANT-ADDRESS GATEWAY-ADDRESS
gateway_that_follows() {
    local plant=$1 site=$2
    as site init --role infield --domain site4.plant.example --listen "$site" --generate-passphrase
    as site peer add plant plant.example --url "http://$plant" --yes
    cat >"$work/site/trust.json" <<JSON
{
  "domains": [$(origin site plant.example)],
  "freshness": { "default": 3600 },
  "rules": "@id(\"approved-and-in-use\") permit (principal, action in Action::\"use\", resource) when { principal.approving_roles.contains(\"integrator\") && principal.effect == Effect::\"permits\" };"
}
JSON
    printf '\n[trust]\npolicy = "trust.json"\n' >>"$work/site/ics.toml"
    serve site "$site"
}

# How the gateway examples begin: the plant's node with pumps in use that hold keys and certificates of their own,
# an owner who may lift a suspension, and the gateway's node, which mirrors the plant and decides by a policy of its own.
#     gateway_of_a_plant PLANT-ADDRESS GATEWAY-ADDRESS SERIAL…
gateway_of_a_plant() {
    local plant=$1 site=$2 serial
    shift 2
    as plant init --role maintenance --domain plant.example --listen "$plant" --generate-passphrase
    serve plant "$plant"
    as plant key make owner-desk --user-id 'Owner of the plant'
    as plant key show owner-desk --armor >"$work/owner.asc"
    as plant domain update --add-signer "owner=$work/owner.asc"
    as plant domain submit
    for serial in "$@"; do
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$serial" \
            -keyout "$work/$serial.key" -out "$work/$serial.crt" 2>/dev/null
        openssl pkey -in "$work/$serial.key" -pubout -out "$work/$serial.pem"
        as plant publish --key "$work/$serial.pem" --serial "$serial" --model P7
        as plant approve "serial:$serial" --yes
        as plant status in-use "serial:$serial" --yes
    done
    gateway_that_follows "$plant" "$site"
    for serial in "$@"; do until_ok as site lookup "serial:$serial" --use connect; done
}

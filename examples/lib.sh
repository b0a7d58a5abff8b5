# What the examples share: the program, a directory to work in, nodes that end when the script ends.
# To be sourced by bash.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ICS=${ICS:-$repository/target/release/ics}
[ -x "$ICS" ] || { echo "error: $ICS is missing: run cargo build --release first, or name the program with ICS=…" >&2; exit 1; }

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

# Shows a command of a party as one would type it in the directory of this example.
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

# The same for a command that must be refused.
refused() { if as "$@"; then return 1; else echo "exit code $?"; fi; }

# Repeats a command until it succeeds, at most for 30 seconds: news takes its time from node to node. Shows the last try.
until_ok() {
    local end=$((SECONDS + 30))
    until "$@" >"$work/last" 2>&1; do
        ((SECONDS < end)) || { echo "error: not within 30 seconds: $*" >&2; cat "$work/last" >&2; exit 1; }
        sleep 0.1
    done
    cat "$work/last"
}

# The nth address of this example. PORT is the first port; the others follow.
address() { echo "127.0.0.1:$((${PORT:-18470} + $1))"; }

# The origin of a domain as a party has pinned it, in quotes: `origin site plant.example`.
origin() { grep -o "\"$2/[0-9a-f]*\"" "$work/$1/ics.toml" | head -1; }

# Starts the node of a party and waits until it answers.
serve() {
    local party=$1 address=$2
    show "$party" serve
    "$ICS" --home "$work/$party" serve >"$work/$party.log" 2>&1 &
    nodes+=($!)
    until_ok curl --silent --fail --output /dev/null "http://$address/readyz"
}

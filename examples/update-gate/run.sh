#!/usr/bin/env bash
# Updates pass a gate, on servers (apt) and on devices (SWUpdate): what is installed must be released by its developer and
# approved by the integrator for the present time. Rolling back to an older version has its own rule. Finally, one query
# lists the devices that run deprecated code.
. "$(dirname "$0")/../lib.sh"
PATH=$PATH:/usr/sbin:/sbin # where Debian puts swupdate

soft=$(address 16) plant=$(address 17)
ics=$(realpath "$ICS")

step "1. The developer's node, and the integrator's, which mirrors it and decides: released and approved code, and roll-backs"
as soft init --role developer --domain code.soft.example --listen "$soft" --generate-passphrase
serve soft "$soft"
as plant init --role maintenance --domain plant.example --listen "$plant" --generate-passphrase
as plant peer add soft code.soft.example --url "http://$soft" --yes
serve plant "$plant"
until_ok curl --silent --fail --output /dev/null "http://$plant/v1/domains/code.soft.example"
as plant trust init --permit software --permit rollback
printf '\n[trust]\npolicy = "trust.json"\n' >>"$work/plant/ics.toml"
stop_last_node
serve plant "$plant"

# The developer publishes a file and releases it; the integrator's node learns of it.
id() { echo "sha256:$(sha256sum "$1" | cut -d' ' -f1)"; }
release() {
    local file=$1
    shift
    as soft publish --file "$file" "$@"
    as soft status released "$(id "$file")" --yes
    until_ok heard_of "$(id "$file")" released
}
heard_of() { "$ICS" --home "$work/plant" lookup "$1" --domain code.soft.example | grep -q "$2"; }

step "2. A package in two versions, in a local repository"
mkdir -p "$work/repository"
build() {
    mkdir -p "$work/build/DEBIAN" "$work/build/usr/share/valve"
    printf 'Package: valve\nVersion: %s\nArchitecture: all\nMaintainer: Soft <code@soft.example>\nDescription: opens and closes\n' \
        "$1" >"$work/build/DEBIAN/control"
    echo "version $1" >"$work/build/usr/share/valve/version"
    dpkg-deb --root-owner-group --build "$work/build" "$work/repository/valve_$1_all.deb" >/dev/null
}
build 1.0
build 2.0
for file in "$work"/repository/*.deb; do
    dpkg-deb --field "$file" Package Version Architecture Maintainer Description
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$file")" "$(stat -c %s "$file")" \
        "$(sha256sum "$file" | cut -d' ' -f1)"
done >"$work/repository/Packages"
release "$work/repository/valve_1.0_all.deb"
release "$work/repository/valve_2.0_all.deb"

step "3. A server whose apt asks the gate: version 3 of its protocol tells which packages are downgraded"
root=$work/server
mkdir -p "$root"/{etc/apt/preferences.d,var/lib/dpkg/{info,updates,triggers},var/lib/apt/lists/partial,var/cache/apt/archives/partial,var/log/apt}
: >"$root/var/lib/dpkg/status"
echo "deb [trusted=yes] file:$work/repository ./" >"$root/etc/apt/sources.list"
cat >"$work/apt.conf" <<CONF
Dir "$root";
Dir::State::status "$root/var/lib/dpkg/status";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Etc::parts "";
Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
APT::Sandbox::User "";
DPkg::Options { "--root=$root"; "--force-not-root"; "--force-script-chrootless"; "--log=$work/dpkg.log"; };
DPkg::Path "$PATH";
DPkg::Pre-Install-Pkgs { "$ics --home $work/plant gate apt"; };
DPkg::Tools::Options::$ics::Version "${PROTOCOL:-3}";
CONF
apt() { APT_CONFIG=$work/apt.conf apt-get --quiet=2 --yes --option Debug::NoLocking=true "$@" </dev/null 2>&1; }
refused_by_apt() { if apt "$@"; then return 1; else echo "apt refuses"; fi; }
has() { cat "$root/usr/share/valve/version" 2>/dev/null || echo "nothing is installed"; }
apt update
refused_by_apt install valve=1.0
has

step "4. The integrator approves version 1.0, but only from tomorrow on: it is refused today"
as plant approve "$(id "$work/repository/valve_1.0_all.deb")" --from "$(date --utc --date '+1 day' +%FT%TZ)" --yes
refused_by_apt install valve=1.0
has

step "5. The integrator approves version 1.0 from now on, and later version 2.0 instead"
as plant approve "$(id "$work/repository/valve_1.0_all.deb")" --yes
apt install valve=1.0
has
as plant approve "$(id "$work/repository/valve_2.0_all.deb")" --yes
# The integrator ends the approval of 1.0: it withdraws the one without an end, and states until when it held.
as plant withdraw "$(id "$work/repository/valve_1.0_all.deb")" --act approval --yes
as plant approve "$(id "$work/repository/valve_1.0_all.deb")" --until "$(date --utc --date '-1 second' +%FT%TZ)" --yes
apt install valve=2.0
has

step "6. Going back to 1.0, which was once approved, is allowed by a rule of its own; a new server does not get 1.0"
apt install --allow-downgrades valve=1.0
has
apt install valve=2.0
apt remove valve
refused_by_apt install valve=1.0
apt install valve=2.0
has

step "7. The developer deprecates 1.0: nobody can go back to it any more"
as soft status deprecated "$(id "$work/repository/valve_1.0_all.deb")" --reason 'CVE-2026-0001' --yes
until_ok heard_of "$(id "$work/repository/valve_1.0_all.deb")" deprecated
refused_by_apt install --allow-downgrades valve=1.0
has

# Older versions of apt's protocol work too; the first does not report downgrades, so one counts as an installation.
for version in 1 2; do
    sed -i "s/::Version .*/::Version \"$version\";/" "$work/apt.conf"
    echo "version $version of the protocol:"
    apt install --reinstall valve=2.0
    refused_by_apt install --allow-downgrades valve=1.0
done

step "8. A device with SWUpdate: the developer signs an update, and the gate asks about its description"
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=Soft' -addext keyUsage=digitalSignature \
    -addext extendedKeyUsage=emailProtection -keyout "$work/soft.key" -out "$work/soft.crt" 2>/dev/null
mkdir -p "$work/update" "$work/tmp"
echo 'the firmware of the pump' >"$work/update/firmware.bin"
digest=$(sha256sum "$work/update/firmware.bin" | cut -d' ' -f1)
# Makes an update whose description states this hash for the file.
pack() {
    cat >"$work/update/sw-description" <<DESCRIPTION
software =
{
    version = "2.4.1";
    hardware-compatibility: [ "1.0" ];
    files: ( { filename = "firmware.bin"; path = "$work/installed.bin"; $1 } );
}
DESCRIPTION
    (
        cd "$work/update"
        openssl cms -sign -in sw-description -out sw-description.sig -signer "$work/soft.crt" -inkey "$work/soft.key" \
            -outform DER -nosmimecap -binary -md sha256
        printf '%s\n' sw-description sw-description.sig firmware.bin | cpio -o -H crc --quiet >"$work/update.swu"
    )
}
pack "sha256 = \"$digest\";"
printf '#!/bin/sh\nexec %s --home %s gate swupdate\n' "$ics" "$work/plant" >"$work/gate"
chmod +x "$work/gate"
# SWUpdate 2022.12 sometimes exits with 1 after an update that it reports as successful: what counts is what is installed.
update() {
    TMPDIR=$work/tmp swupdate -H board:1.0 -k "$work/soft.crt" -P "$work/gate" -i "$work/update.swu" >"$work/swupdate.log" 2>&1 || true
    if [ -e "$work/installed.bin" ]
    then echo "SWUpdate has installed it: $(cat "$work/installed.bin")"
    else echo "SWUpdate refuses:"; sed -n 's/^.*ERROR : */  /p' "$work/swupdate.log"; fi
    rm -f "$work/installed.bin"
}
update
release "$work/update/sw-description" --name p7-system --version 2.4.1
as plant approve "$(id "$work/update/sw-description")" --yes
update

step "9. One of its files turns out to be bad: the whole update is refused"
as soft publish --file "$work/update/firmware.bin" --name p7-firmware --version 2.4.1
as soft status withdrawn "$(id "$work/update/firmware.bin")" --reason 'bricks pumps' --yes
until_ok heard_of "$(id "$work/update/firmware.bin")" withdrawn
update

# Likewise refused: another update, released and approved, whose description spells the file's hash differently.
pack "sha256 /* of the file */ : \"${digest:0:30}\" \"${digest:30}\";"
release "$work/update/sw-description" --name p7-system --version 2.4.2
as plant approve "$(id "$work/update/sw-description")" --yes
update

step "10. What runs where: one query for all devices with deprecated code"
for number in 0001 0002; do
    openssl genpkey -algorithm ed25519 -out "$work/$number.key"
    openssl pkey -in "$work/$number.key" -pubout -out "$work/$number.pem"
    as plant publish --key "$work/$number.pem" --serial "SN-$number" --model P7
    as plant installed "$(id "$work/repository/valve_1.0_all.deb")" "serial:SN-$number" --yes
done
as plant installed "$(id "$work/repository/valve_2.0_all.deb")" serial:SN-0002 \
    --instead-of "$(id "$work/repository/valve_1.0_all.deb")" --yes
echo 'with deprecated code:'
as plant list --runs deprecated
echo 'with version 2.0:'
as plant list --runs "$(id "$work/repository/valve_2.0_all.deb")"

step "Done"

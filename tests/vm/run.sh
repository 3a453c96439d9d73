#!/bin/sh
# Runs the tests that need a full kernel and Wi-Fi: boots Debian's kernel in software emulation over this machine's own
# files (the guest's writes stay in its memory) and runs one pytest in it, because starting Python there is slow.
#
#   tests/vm/run.sh [PYTEST-ARGUMENT...]     for instance: tests/vm/run.sh -x tests/vm/test_wifi.py
#   tests/vm/run.sh --run COMMAND [WORD...]  something else there, in this folder, in place of pytest
#
# Needs `tools/setup.sh venv kernel`. Results: .cache/vm/results/. VISCUM_VM_TIMEOUT: seconds until the guest is killed.
# VISCUM_VM_QEMU: more options for qemu.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
vm=$root/.cache/vm
results=$vm/results
version=$(cat "$vm/version") || {
    echo "no kernel in .cache/vm: run tools/setup.sh venv kernel" >&2
    exit 2
}

# One guest at a time: two would share the results. The guest does not get the lock, so it is free when this script ends.
exec 9>"$vm/run.lock"
flock 9
rm -rf "$results"
mkdir -p "$results"
: >"$results/pytest.txt"
# virtme-ng's sockets (too long a path would not do) and its settings.
tmp=$(mktemp -d "${TMPDIR:-/tmp}/viscum-vm.XXXXXX")

guest=
# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    # The guest's whole process group: vng, qemu and the daemons that share the files.
    [ -z "$guest" ] || kill -s KILL -- "-$guest" 2>/dev/null || true
    rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# What the guest is to do, in a file: virtme-ng passes only a short command on.
printf '%s\n' "$@" >"$results/arguments"
[ $# -gt 0 ] || : >"$results/arguments"

# setsid and no input: vng wants a terminal of its own or none. KVM is off because where these tests run it is either
# not there or, worse, there and not working; so time in the guest is the same everywhere.
env PATH="$vm/virtiofsd:$root/.venv/bin:$PATH" HOME="$tmp" TMPDIR="$tmp" \
    setsid timeout --kill-after=10 "${VISCUM_VM_TIMEOUT:-1800}" \
    vng --disable-kvm --run "$vm/kernel/boot/vmlinuz-$version" --user root --cpus 2 --memory 2G \
    --qemu-opts="${VISCUM_VM_QEMU-}" --overlay-rwdir "$root" --rwdir "$results" --exec "$root/tests/vm/guest.sh $results" \
    </dev/null >"$results/console.txt" 2>&1 9>&- &
guest=$!

# Shows the tests as they run; ends with the guest. In the background, because only `wait` lets a signal through at once.
tail -n +1 -f --pid="$guest" "$results/pytest.txt" 9>&- &
shower=$!
wait "$guest" && ended=0 || ended=$?
wait "$shower" || true

if ! [ -f "$results/status" ]; then
    echo "The guest ended ($ended; 124 is a timeout) before the tests did. The end of its console:" >&2
    tail -n 40 "$results/console.txt" >&2
    exit 1
fi
exit "$(cat "$results/status")"

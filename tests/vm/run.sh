#!/bin/sh
# Runs the tests that need a full kernel and Wi-Fi: boots one of Debian's kernels in software emulation over this machine's
# own files (the guest's writes stay in its memory) and runs one pytest in it, because starting Python there is slow.
#
#   tests/vm/run.sh [--kernel SERIES] [PYTEST-ARGUMENT...]     for instance: tests/vm/run.sh -x tests/vm/test_wifi.py
#   tests/vm/run.sh [--kernel SERIES] --run COMMAND [WORD...]  something else there, in this folder, in place of pytest
#
# SERIES is 6.12, or 6.1 for a kernel without tcx. Needs `tools/setup.sh venv kernel pictures`. Results: .cache/vm/results/.
# VISCUM_VM_TIMEOUT: seconds until the guest is killed. VISCUM_VM_QEMU: more options for qemu.
#
# A guest that could not start, or whose emulator crashed, is started once more. What a test does to the guest is the
# test's: a kernel that panics under it, a test that hangs.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
vm=$root/.cache/vm
results=$vm/results
series=6.12
if [ "${1-}" = --kernel ]; then
    series=${2:?--kernel needs a series, for instance 6.1}
    shift 2
fi
image=$(readlink -e "$vm/kernel-$series/vmlinuz") || {
    echo "no kernel $series in .cache/vm: run tools/setup.sh venv kernel" >&2
    exit 2
}

# One guest at a time: two would share the results. The guest does not get the lock, so it is free when this script ends.
exec 9>"$vm/run.lock"
flock 9
# virtme-ng's sockets (too long a path would not do) and its settings.
tmp=$(mktemp -d "${TMPDIR:-/tmp}/viscum-vm.XXXXXX")

# At its start the kernel wants to see some ticks within a few milliseconds of work, and panics ("IO-APIC + timer doesn't
# work!", arch/x86/kernel/apic/io_apic.c) where a busy machine did not let the emulator run. There it would also take the
# processor's clock for several times slower than it is; that of the HPET needs no measuring. Where instructions are
# counted, the machine's work makes no difference.
kernel_options=no_timer_check
case ${VISCUM_VM_QEMU-} in
*icount*) ;;
*) kernel_options="$kernel_options clocksource=hpet" ;;
esac

guest=
clean_up() {
    # The guest's whole process group: vng, qemu and the daemons that share the files.
    [ -z "$guest" ] || kill -s KILL -- "-$guest" 2>/dev/null || true
    guest=
}
trap 'clean_up; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP

# boot WORD...: a guest from its start to its end; it does what the words say.
boot() {
    rm -rf "$results"
    mkdir -p "$results"
    : >"$results/pytest.txt"
    # What the guest is to do, in a file: virtme-ng passes only a short command on.
    [ $# -eq 0 ] || printf '%s\n' "$@" >"$results/arguments"
    mkfifo "$tmp/words"
    cat "$tmp/words" >"$results/vng.txt" 9>&- &
    # setsid and no input: vng wants a terminal of its own or none. KVM is off because where these tests run it is either
    # not there or, worse, there and not working; so time in the guest is the same everywhere.
    env PATH="$vm/virtiofsd:$root/.venv/bin:$PATH" HOME="$tmp" TMPDIR="$tmp" VISCUM_VM_RESULTS="$results" \
        setsid timeout --kill-after=10 "${VISCUM_VM_TIMEOUT:-7200}" \
        vng --verbose --disable-kvm --qemu "$root/tests/vm/qemu.sh" --run "$image" --user root --cpus 2 --memory 2G \
        --append "$kernel_options" --qemu-opts="${VISCUM_VM_QEMU-}" --overlay-rwdir "$root" --rwdir "$results" \
        --exec "$root/tests/vm/guest.sh $results" </dev/null >"$tmp/words" 2>&1 9>&- &
    guest=$!
    # Shows the tests as they run; ends with the guest. In the background: only `wait` lets a signal through at once.
    tail -n +1 -f --pid="$guest" "$results/pytest.txt" 9>&- &
    shower=$!
    wait "$guest" && ended=0 || ended=$?
    wait "$shower" || true
    clean_up
    rm -f "$tmp/words"
    [ -f "$results/status" ]
}

# Whether the emulator is to blame for a guest that ended before its tests: qemu did not end by itself, the tests had not
# even begun, or the kernel met a breakpoint in its own code. A kernel that changes a jump (text_poke_bp in
# arch/x86/kernel/alternative.c) writes a breakpoint first, and takes it away when all processors have seen the new
# code. Under qemu's threads one may still run what it had translated before; the kernel knows of no such breakpoint any
# more, and panics ("Oops: int3"). Nothing that a test does makes one; qemu.sh has one thread, and none was seen since. A
# timeout (124, or 137 for one who did not listen) is a test that hangs.
emulator_failed() {
    [ "$ended" != 124 ] && [ "$ended" != 137 ] || return 1
    ! grep -q "Oops: int3" "$results/console.txt" 2>/dev/null || return 0
    qemu=$(cat "$results/qemu-status" 2>/dev/null || echo "not started")
    [ "$qemu" != 0 ] || ! [ -s "$results/pytest.txt" ]
}

show() {
    echo "The guest ended ($ended; 124 is a timeout) before the tests did; qemu: ${qemu:-killed}."
    for name in console vng qemu; do
        echo "--- the end of $name.txt:"
        tail -n 40 "$results/$name.txt" 2>/dev/null || echo "(there is none)"
    done
}

if ! boot "$@"; then
    qemu=$(cat "$results/qemu-status" 2>/dev/null || true)
    show >&2
    emulator_failed || exit 1
    echo "--- THE EMULATOR FAILED, no test did: once more, with another guest." >&2
    if ! boot "$@"; then
        qemu=$(cat "$results/qemu-status" 2>/dev/null || true)
        show >&2
        exit 1
    fi
fi
exit "$(cat "$results/status")"

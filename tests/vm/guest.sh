#!/bin/sh
# Runs inside the guest, started by run.sh: guest.sh RESULTS. All that the tests print goes to a file there, because the
# console is a slow serial line; the last thing written is pytest's exit status.
set -u

results=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
exec >>"$results/pytest.txt" 2>&1 </dev/null

export PATH="$root/.venv/bin:$PATH"
export VISCUM_GUEST=1 # tests/vm/conftest.py runs nowhere else
unset PYTHONDONTWRITEBYTECODE # the agent is started many times, and compiling is slow here
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 # a second each

ip link set lo up
mkdir -p /run/netns
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "Linux $(uname -r), up after $(cut -d. -f1 /proc/uptime) s"

# What the redirects must do with a kernel's own parts, whichever: each datapath with a client's traffic by both
# interpreters, and both netlink back ends. All of tests/netns would take hours here.
backends=tests/netns/test_backends.py
redirects="tests/netns/test_redirect.py::test_tcp_and_udp_over_both_families_are_answered_at_the_edge_and_then_by_the_cloud_again
    $backends::test_each_back_end_attaches_ebpf_programs_in_each_way"
case $(uname -r) in
6.1.*) # no tcx. Its packets take half a minute each: run.sh --kernel 6.1 tests/netns/test_packets.py
    suite="tests/vm/test_datapaths.py tests/vm/test_bare.py $redirects $backends::test_what_one_writes_the_other_reads"
    ;;
*) # the packets of flower and netkit: tests/vm/test_packets.py
    suite="tests/vm $redirects tests/netns/test_direct.py tests/examples/test_plates_hops.py"
    ;;
esac

set --
touch "$results/arguments" # none were given
named= # whether the arguments say which tests
while IFS= read -r argument; do
    set -- "$@" "$argument"
    [ ! -e "${argument%%::*}" ] || named=yes
done <"$results/arguments"
if [ "${1-}" = --run ]; then
    shift
else
    # shellcheck disable=SC2086 # a list of words
    [ -n "$named" ] || set -- $suite "$@"
    # A test may take longer than elsewhere: work is some ten times slower here, and slower still on a busy machine.
    set -- pytest -p pytest_timeout -p no:cacheprovider --timeout 2400 --durations 10 "$@"
fi
"$@"
status=$?
echo "The guest was up for $(cut -d. -f1 /proc/uptime) s"
echo "$status" >"$results/status"
sync

#!/bin/sh
# The first process of the guest: what a router's start makes there, then the tests, then the end of the guest.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t tmpfs tmpfs /tmp
mkdir -p /tmp/run/ubus /tmp/run/netns /tmp/lock
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo /sbin/modprobe >/proc/sys/kernel/modprobe
for module in crc32c_generic bridge veth; do modprobe "$module"; done
# The kernel's words go to its own buffer: the console is the runner's.
echo 1 >/proc/sys/kernel/printk
cd /srv || exit
python3 -IB /srv/tests/routers/guest.py </dev/null >/dev/console 2>&1
echo "VISCUM END $?" >/dev/console
sync
reboot -f

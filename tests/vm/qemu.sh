#!/bin/sh
# The emulator as virtme-ng starts it for run.sh. virtme-ng says of everything that ends a guest early "255", throws the
# kernel's console away, and lets qemu cut the file that its own words are in (it opens /proc/self/fd/2 anew). So here each
# has a file of its own in the folder VISCUM_VM_RESULTS: console.txt, qemu.txt, and qemu-status for how qemu ended.
set -u

case " $* " in
*" -kernel "*) ;;
*) exec qemu-system-x86_64 "$@" ;; # only asked for its version
esac

for word; do
    shift
    case $word in
    file,id=console,path=*) word=file,id=console,path=$VISCUM_VM_RESULTS/console.txt ;;
    file,id=*,path=/proc/self/fd/2) word=${word%2}1 ;;
    esac
    set -- "$@" "$word"
done
# thread=single: its threads may run a jump of the kernel's that another has just changed (run.sh, emulator_failed).
qemu-system-x86_64 "$@" -accel tcg,thread=single 2>"$VISCUM_VM_RESULTS/qemu.txt"
status=$?
echo "$status" >"$VISCUM_VM_RESULTS/qemu-status"
exit "$status"

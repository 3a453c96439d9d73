"""Numbers of the kernel that depend on the machine, and what a program must not inherit."""

import struct

from viscum_agent import compat


def test_a_signal_is_blocked_by_the_machines_own_numbers():
    """asm-generic/signal-defs.h and mips' asm/signal.h: SIG_BLOCK, SIG_SETMASK."""
    for machine in ("x86_64", "aarch64", "armv7l", "riscv64"):
        assert compat.sigmask_words(machine) == (0, 2)
    for machine in ("mips", "mips64"):
        assert compat.sigmask_words(machine) == (1, 3)


def test_newer_system_calls_have_one_number_but_for_the_base_of_mips():
    """asm/unistd.h of mips: __NR_Linux is 4000 with o32, 5000 with n64."""
    assert compat.syscall_base("x86_64", 8) == compat.syscall_base("armv7l", 4) == 0
    assert compat.syscall_base("mips", 4) == compat.syscall_base("mips64", 4) == 4000
    assert compat.syscall_base("mips64", 8) == 5000


def test_the_socket_of_a_check_is_closed_where_a_program_begins():
    sock = compat.connecting(2, "127.0.0.1", 9)
    try:
        with open("/proc/self/fdinfo/%d" % sock.fileno()) as file:
            (flags,) = [line.split()[1] for line in file.read().split("\n") if line.startswith("flags")]
        assert int(flags, 8) & 0o2000000, "O_CLOEXEC"
    finally:
        sock.close()


def test_an_address_is_a_number_that_a_kernel_of_64_bits_takes_from_a_program_of_32():
    """MicroPython before 1.25 has a negative one for the upper half: seen where a pointer has 4 bytes."""
    place = bytearray(64)
    assert 0 < compat.address_of(place) < 1 << (8 * struct.calcsize("P"))

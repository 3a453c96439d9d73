"""The tests that run with each datapath ask the kernel which it has: here it is known, so that none goes missing."""

import os

import datapaths


def test_the_datapaths_of_this_kernel_are_all_found():
    tcx = [] if os.uname().release.startswith("6.1.") else ["bpf-tcx", "bpf-netkit"]
    assert datapaths.here() == ["u32", "flower", "bpf-cls", *tcx]

"""The eBPF programs that a package has are those that the agent's sources make."""

import struct
import sys

import pytest
from lab import ROOT

sys.path.append(str(ROOT / "tools/package"))
import assembled  # noqa: E402

from viscum_agent.ebpf import BARE, PROGRAMS, TAGGED, TRIAL, TRIAL_MAPS, assemble  # noqa: E402
from viscum_agent.ebpf.layout import MAPS, MASKS  # noqa: E402

DESCRIPTORS = {one.name: 300 + 7 * number for number, one in enumerate(MAPS)}
FUNCTIONS = {"fwd": "forward", "reply": "reply", BARE: "bare", TAGGED: "tagged", TRIAL: "trial"}


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("which", FUNCTIONS)
def test_a_package_has_the_same_bytes(which, order):
    packaged: dict = {}
    exec(assembled.text(ROOT), packaged)
    assert packaged[FUNCTIONS[which]](order, DESCRIPTORS, MASKS) == assemble(which, order, DESCRIPTORS)


def test_what_a_package_leaves_out_only_the_programs_need():
    names = [path[len("ebpf/") : -len(".py")] for path in assembled.LEFT_OUT]
    for path in (ROOT / "viscum_agent").rglob("*.py"):
        if path.relative_to(ROOT / "viscum_agent").as_posix() not in (*assembled.LEFT_OUT, assembled.MODULE):
            for name in names:
                assert "ebpf.%s" % name not in path.read_text(), path
                assert path.parent.name != "ebpf" or "import %s" % name not in path.read_text(), path


def instructions(which, maps=DESCRIPTORS):
    return list(struct.iter_unpack("<BBhi", assemble(which, "little", maps)))


def test_the_trial_calls_what_the_programs_call_and_needs_few_maps():
    def called(which):
        return {number for opcode, _, _, number in instructions(which) if opcode == 0x85}

    def kinds_of_numbers(which):
        return {registers >> 4 for opcode, registers, _, _ in instructions(which) if opcode == 0x18}

    assert called(TRIAL) == called("fwd") | called("reply") | called(TAGGED)
    assert kinds_of_numbers(TRIAL) == kinds_of_numbers("fwd") | kinds_of_numbers("reply")
    instructions(TRIAL, {name: DESCRIPTORS[name] for name in TRIAL_MAPS})
    assert len(instructions(TRIAL)) < min(len(instructions(which)) for which in PROGRAMS) / 5

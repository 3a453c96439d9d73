"""The names of the eBPF programs are made from their instructions."""

import sys

from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import ebpf_names  # noqa: E402

from viscum_agent import ebpf  # noqa: E402
from viscum_agent.ebpf import program  # noqa: E402


def test_the_names_are_what_the_generator_makes(capsys):
    assert ebpf_names.main(["--check"]) == 0, capsys.readouterr().err


def test_other_instructions_have_another_name(monkeypatch):
    before = ebpf_names.name("reply")
    monkeypatch.setattr(program, "reply", program.forward)
    assert ebpf_names.name("reply") != before == ebpf.name_of("reply")

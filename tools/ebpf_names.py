"""Makes viscum_agent/ebpf/names.py: what the kernel calls the eBPF programs, from their instructions.

A router need not work that out at each start: assembling and hashing take MicroPython longer than all of its planning.

tools/ebpf_names.py            writes it
tools/ebpf_names.py --check    only says whether it is what would be written; exit code 1 when it is not
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent import ebpf  # noqa: E402
from viscum_agent.ebpf.layout import MAPS  # noqa: E402
from viscum_agent.records.objects import name_hash  # noqa: E402

NAMES = ROOT / "viscum_agent/ebpf/names.py"
TEXT = '''"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
%s}
'''


def name(which: str) -> str:
    """A program's name: what it is and a hash of its instructions, which no descriptor and no byte order changes."""
    code = ebpf.assemble(which, "little", {one.name: 0 for one in MAPS})
    return "%s_%08x" % (which, name_hash(code.hex()))


def text() -> str:
    """The text of names.py."""
    return TEXT % "".join('    "%s": "%s",\n' % (which, name(which)) for which in ebpf.EVERY)


def main(words: "list[str]") -> int:
    return uptodate.main(ROOT, {NAMES: text()}, "ebpf_names.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What tc has at a device: qdiscs, filters with their actions, and what they count. The first byte says which."""

from viscum_agent.errors import ViscumError
from viscum_agent.kernel import codec, tc

ALLOWED = (ViscumError,)
TOKENS = [
    b"\x08\0\1\0u32\0",
    b"\x0b\0\1\0flower\0\0",
    b"\x08\0\1\0bpf\0",
    b"\x0b\0\1\0mirred\0\0",
    b"\x24\0\2\0",
    b"\4\0\2\0",
]
TOKENS += [b"\x08\0\1\0\0\0\x76\x10", b"\xff\xff\xf2\xff", b"\x18\0\3\0", b"\x14\0\1\0", b"\x0c\0\7\0"]
PARSERS = (tc.parse_filter, tc.parse_counters, tc.parse_qdisc)


def read(data):
    return codec.parsed(PARSERS[data[0] % 3 if data else 0], [data[1:]])


def seeds():
    from pathlib import Path

    from fuzz.corpora import recorded

    lines = (Path(__file__).resolve().parents[2] / "unit/recorded/kernel.txt").read_text().splitlines()
    found = []
    for line in lines:
        if len(line) > 40 and all(c in "0123456789abcdef" for c in line):
            found += [bytes([which]) + bytes.fromhex(line) for which in (0, 1)]
    return found + recorded("tc")


def slow(size):
    head = bytes(20) + codec.text(tc.TCA_KIND, "u32")
    for which in (0, 1):
        acts = b"".join([codec.attribute(number + 1, b"") for number in range(size // 4 & 0x3FFF)])
        yield (
            bytes([which])
            + head
            + codec.attribute(
                tc.TCA_OPTIONS,
                (codec.u32(tc.TCA_U32_CLASSID, tc.CLASSID) + codec.attribute(tc.TCA_U32_ACT, acts))[:65000],
            )
        )

"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_3617b084",
    "reply": "reply_1955540e",
    "bare": "bare_aa6d0a75",
    "tagged": "tagged_ed6e9ac0",
}

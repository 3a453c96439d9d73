"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_d3f9d105",
    "reply": "reply_21feee94",
    "bare": "bare_5f1a3013",
    "tagged": "tagged_2aefd74d",
}

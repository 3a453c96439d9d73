"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_c60a357b",
    "reply": "reply_b778a786",
    "bare": "bare_64db8c30",
    "tagged": "tagged_f7fa8454",
}

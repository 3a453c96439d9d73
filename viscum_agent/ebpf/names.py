"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_36916033",
    "reply": "reply_3e3653aa",
    "bare": "bare_0f3d3836",
    "tagged": "tagged_6beb762a",
}

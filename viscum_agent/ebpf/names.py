"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_0013dda6",
    "reply": "reply_6fec80d1",
    "bare": "bare_fbebb7af",
}

"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_d715225b",
    "reply": "reply_e69f74ab",
    "bare": "bare_7f666f51",
    "tagged": "tagged_16ad013b",
}

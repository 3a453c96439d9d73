"""What the kernel calls the eBPF programs: the name says which instructions they are. An agent that finds
another name swaps its own program in. Made by tools/ebpf_names.py from program.py and layout.py: change those.
"""

NAMES = {
    "fwd": "fwd_bfad4e40",
    "reply": "reply_e69f74ab",
    "bare": "bare_3ebfe2b9",
    "tagged": "tagged_16ad013b",
}

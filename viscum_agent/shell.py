"""Texts as a shell takes them and as a terminal shows them: for messages, and for the commands that they tell people to
type."""

# What the name of a device is made of, beside letters, digits and underscores (br-lan, eth0.10, wan@eth0).
DEVICE_SIGNS = "-.@+,=%#"


def quote(text: str) -> str:
    """`text` in single quotes as `uci export` writes it; a quote inside closes, escapes itself and opens again."""
    return "'%s'" % text.replace("'", "'\\''")


def word(path: str) -> str:
    """A path as one word of a command: in quotes where it needs them."""
    return path if all(is_name(c) or c in "/.-" for c in path) else quote(path)


def is_name(c: str) -> bool:
    return c == "_" or "0" <= c <= "9" or "a" <= c <= "z" or "A" <= c <= "Z"


def is_device(name: str) -> bool:
    """Whether a device's name is one that an option can hold. The kernel also takes what a shell would act upon."""
    return name not in (".", "..") and all(is_name(c) or c in DEVICE_SIGNS for c in name)


def shown(text: str) -> str:
    """The text as a message shows it: in quotes, on one line, not endless."""
    return "'%s%s'" % (printable(text[:60]), "..." if len(text) > 60 else "")


def printable(text: str) -> str:
    """The text with numbers for what is not printable ASCII: a copied space that is none can be seen, and nothing gets
    at the terminal."""
    return "".join([c if " " <= c <= "~" else "\\u%04x" % ord(c) for c in text])

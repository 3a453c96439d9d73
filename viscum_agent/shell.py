"""Texts as a shell takes them and as a terminal shows them: for messages, and for the commands that they tell people to
type."""

# The characters of a device name besides letters, digits and underscores (br-lan, eth0.10, wan@eth0).
DEVICE_SIGNS = "-.@+,=%#"


def quote(text: str) -> str:
    """`text` in single quotes, as `uci export` writes it; a quote inside closes, escapes itself and opens again."""
    return "'%s'" % text.replace("'", "'\\''")


def word(path: str) -> str:
    """A path as one word of a command: in quotes if it needs them."""
    return path if all(is_name(c) or c in "/.-" for c in path) else quote(path)


def is_name(c: str) -> bool:
    return c == "_" or "0" <= c <= "9" or "a" <= c <= "z" or "A" <= c <= "Z"


def is_device(name: str) -> bool:
    """Whether an option can hold this name of a device. The kernel also allows characters that a shell interprets."""
    return name not in (".", "..") and all(is_name(c) or c in DEVICE_SIGNS for c in name)


def shown(text: str) -> str:
    """The text as a message shows it: in quotes, on one line, cut at 60 characters."""
    return "'%s%s'" % (printable(text[:60]), "..." if len(text) > 60 else "")


MOST_NAMED = 20  # in one message: there may be a thousand such messages


def there_are(names: "list[str]") -> str:
    """What follows the sentence that something is none of these."""
    if not names:
        return ", and there is none"
    return "; there are: " + ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def some(texts: "list[str]", most: int = 3) -> str:
    """The first ones, and how many there are besides."""
    return ", ".join(texts[:most]) + (" and %d more" % (len(texts) - most) if len(texts) > most else "")


def printable(text: str) -> str:
    """The text with numbers for everything but printable ASCII: a copied blank that is not a space becomes visible, and
    no control code reaches the terminal."""
    return "".join([c if " " <= c <= "~" else "\\u%04x" % ord(c) for c in text])

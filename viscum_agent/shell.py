"""Quotes text for a shell: for the commands that messages tell people to type."""


def quote(text: str) -> str:
    """`text` in single quotes, as `uci export` writes it; a quote inside closes, escapes itself and opens again."""
    return "'%s'" % text.replace("'", "'\\''")


def word(path: str) -> str:
    """A path as one word of a command: in quotes if it needs them."""
    plain = all(c in "/._-" or "0" <= c <= "9" or "a" <= c <= "z" or "A" <= c <= "Z" for c in path)
    return path if plain else quote(path)

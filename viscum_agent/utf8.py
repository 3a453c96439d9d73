"""The part of UTF-8 that MicroPython's decoder does not check."""


def is_strict(raw: bytes) -> bool:
    """Whether bytes that decode are UTF-8 by RFC 3629, section 4: no overlong forms, no surrogates, nothing above
    U+10FFFF."""
    for i, byte in enumerate(raw):
        if byte < 0xC0:
            continue
        second = raw[i + 1]
        if byte < 0xC2 or byte > 0xF4:
            return False
        if (byte == 0xE0 and second < 0xA0) or (byte == 0xF0 and second < 0x90):
            return False
        if (byte == 0xED and second > 0x9F) or (byte == 0xF4 and second > 0x8F):
            return False
    return True

"""What a JPEG's header says, before anything is decoded: a file of a few kB can announce gigabytes of pixels, or many
thousands of passes over its pixels. ITU-T T.81, annex B."""

import struct

# A 12-megapixel phone's pictures, and no side longer than any camera's. Decoding takes up to 6 bytes for each (three
# components of 16 bits, in a progressive picture).
PIXELS = 12_800_000
WIDEST = 8192
SCANS = 24  # cjpeg's progressive pictures have 10, with a thumbnail in Exif some more

SOI, SOS, DQT = 0xD8, 0xDA, 0xDB
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: Huffman-coded, what cameras make
OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)


class NotUsable(Exception):
    """Says why a picture is not decoded; `kind` is the word of the answer."""

    def __init__(self, kind, words):
        super().__init__(words)
        self.kind = kind


def size(picture):
    """(width, height) of a JPEG that is worth decoding; raises NotUsable."""
    if picture[:2] != b"\xff\xd8":
        raise NotUsable("no JPEG", "it does not begin as a JPEG does")
    width, height = _frame(picture)
    if not width or not height:
        raise NotUsable("no JPEG", "it has no pixels")
    if max(width, height) > WIDEST or width * height > PIXELS:
        words = "%d x %d pixels; at most %d, and %d a side" % (width, height, PIXELS, WIDEST)
        raise NotUsable("too many pixels", words)
    # In coded data a 0xff is followed by 0 or a restart marker, so that these two bytes are a scan's beginning.
    scans = picture.count(b"\xff\xda")
    if scans > SCANS:
        raise NotUsable("too many scans", "%d passes over its pixels; at most %d" % (scans, SCANS))
    return width, height


def _frame(picture):
    """Width and height, from the first frame header: libjpeg takes no second one."""
    at = 2
    while at + 4 <= len(picture):
        if picture[at] != 0xFF:
            raise NotUsable("no JPEG", "no marker at byte %d" % at)
        marker = picture[at + 1]
        if marker == 0xFF:  # may be filled up
            at += 1
            continue
        (length,) = struct.unpack_from(">H", picture, at + 2)
        if marker in FRAMES:
            return _size(picture, at + 4, length)
        if marker in OTHER_FRAMES:
            raise NotUsable("no JPEG", "its coding (marker 0xff%02x) is not a camera's" % marker)
        if marker == SOS or length < 2:
            break
        at += 2 + length
    raise NotUsable("no JPEG", "it ends before it says its size")


def _size(picture, at, length):
    if length < 8 or at + 6 > len(picture):
        raise NotUsable("no JPEG", "it ends before it says its size")
    bits, height, width, components = struct.unpack_from(">BHHB", picture, at)
    if bits != 8 or components not in (1, 3):
        raise NotUsable("no JPEG", "%d components of %d bits are not a camera's" % (components, bits))
    return width, height

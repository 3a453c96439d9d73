"""What the modules of an archive have in common: a dictionary, from which all of them are packed.

Packed one by one, a module can refer only to what it said itself, and the same names and sequences of byte code are in
a hundred modules. What is referred to most is put into a few thousand bytes that come before each of them. They are
found as Liao, Petri, Moffat and Wirth do it ("Effective Construction of Relative Lempel-Ziv Dictionaries", WWW 2016),
which is also how zstd trains its own: in pieces, the one that covers most of what is not covered yet first.
"""

import heapq
from collections import Counter
from collections.abc import Iterable

PIECE = 48  # bytes
WORD = 6  # bytes: shorter ones are hardly worth a reference


def dictionary(texts: Iterable[bytes], size: int) -> bytes:
    """At most so many bytes. What is worth most comes last: references to it are the shortest."""
    texts = list(texts)
    left = Counter(word for text in texts for word in _words(text))
    left = Counter({word: count for word, count in left.items() if count > 1})
    pieces = [text[at : at + PIECE] for text in texts for at in range(0, len(text) - PIECE + 1, PIECE // 2)]
    queue = [(-_worth(piece, left), number) for number, piece in enumerate(pieces)]
    heapq.heapify(queue)
    found = b""
    while queue and len(found) + PIECE <= size:
        _, number = heapq.heappop(queue)
        worth = -_worth(pieces[number], left)
        if queue and worth > queue[0][0]:  # others have covered some of it meanwhile
            heapq.heappush(queue, (worth, number))
            continue
        found = pieces[number] + found
        for word in _words(pieces[number]):
            left.pop(word, None)
    return found


def _words(text: bytes) -> "set[bytes]":
    return {text[at : at + WORD] for at in range(len(text) - WORD + 1)}


def _worth(piece: bytes, left: "Counter[bytes]") -> int:
    """In how many texts its words are, together."""
    return sum(left[word] for word in _words(piece) if word in left)

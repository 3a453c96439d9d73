"""The web page of the example: the last pictures with their plates marked. It keeps so many pictures, and no more."""

import asyncio
import contextlib
import html
import time
from collections import deque, namedtuple

KEPT = 12
REQUEST = 8192  # bytes of a request's head
SECONDS = 10.0  # for a whole request

HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>Plates, %(name)s</title><style>
body { font-family: sans-serif; margin: 1em; background: #fafafa; color: #222; }
main { display: flex; flex-wrap: wrap; gap: 1em; }
figure { margin: 0; background: #fff; border: 1px solid #ccc; padding: .5em; max-width: 20em; }
img { max-width: 100%%; }
b { font: bold 1.3em monospace; }
</style></head><body><h1>Plates read by %(name)s</h1><p>%(count)d pictures so far, the last %(kept)d are kept.</p><main>
"""
FIGURE = """<figure><img src="/picture/%d.jpg" alt="" width="320">
<figcaption><b>%s</b> %s<br>%s from %s</figcaption></figure>
"""
# Nothing from elsewhere, no script, no frame.
POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"

Kept = namedtuple("Kept", ("number", "jpeg", "answer", "address", "when"))


class Page:
    """Keeps the last pictures and answers browsers."""

    OPEN = 16  # connections at a time

    def __init__(self, name):
        self._name = name
        self._count = 0
        self._kept = deque(maxlen=KEPT)

    def add(self, picture, answer, address):
        self._count += 1
        self._kept.append(Kept(self._count, picture, answer, address, time.strftime("%H:%M:%S")))

    async def talk(self, reader, writer):
        """Answers one request."""
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._respond(head))
                await writer.drain()

    def _respond(self, head):
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(head) > REQUEST or len(words) != 3:
            return _response("400 Bad Request", "text/plain", b"not a request\n")
        if words[0] != b"GET":
            return _response("405 Method Not Allowed", "text/plain", b"only GET\n")
        if words[1] == b"/":
            return _response("200 OK", "text/html; charset=utf-8", self._page().encode())
        for kept in self._kept:
            if words[1] == b"/picture/%d.jpg" % kept.number:
                return _response("200 OK", "image/jpeg", kept.jpeg)
        return _response("404 Not Found", "text/plain", b"not here, or not any more\n")

    def _page(self):
        words = {"name": html.escape(self._name), "count": self._count, "kept": KEPT}
        return HEAD % words + "".join(map(_figure, reversed(self._kept))) + "</main></body></html>\n"


def _figure(kept):
    plate, about = "no plate", ""
    if kept.answer["plate"]:
        plate = kept.answer["plate"]
        about = "%s, %d %%" % ("/".join(kept.answer["countries"]), kept.answer["confidence"] * 100)
    return FIGURE % (kept.number, *map(html.escape, (plate, about, kept.when, kept.address)))


def _response(status, kind, body):
    head = (
        "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: %s\r\n\r\n"
    )
    return (head % (status, kind, len(body), POLICY)).encode() + body

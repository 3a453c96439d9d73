"""Reads licence plates in JPEG pictures for cameras: a picture comes in over TCP, its plate goes back.

    server.py [--port 12345] [--web 8080] [--name edge] [--workers 2]

A camera sends pictures over one connection, each with its length in front: 4 bytes, big-endian, then the JPEG. For
each picture, in order, it gets one line of JSON:

    {"by": "edge", "plate": "KW64OVS", "confidence": 0.99, "countries": ["GB"], "corners": [[810, 322], ...], "ms": 12}
    {"by": "edge", "plate": null, "ms": 9}                                     a picture without a plate
    {"by": "edge", "error": "too large", "message": "what is wrong, and what the bound is"}

Errors are `no JPEG`, `empty`, `too many pixels`, `too many scans` and `failed`, after which the connection goes on, and
`too large`, `half a picture`, `too slow` and `busy`, after which it ends. The server stays within bounds whatever
is sent: so many connections, for one address and in all, one picture for each and a size for that, and a time for
each step. Whoever comes on top of that is told so or waits to be accepted.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jpeg
from page import Page
from recognise import Reader, decode, marked, recognise

LARGEST = 2 << 20  # bytes of a picture: 12 megapixels of a phone's camera with a quality of 80
SERVED = 32  # cameras at a time: each may have a picture in memory
SERVED_EACH = 8  # of one address, so that nobody keeps all others out
OPEN = 128  # connections, with those that are told that it is busy; more wait in the kernel's queue
WAITING = 1024  # that long (net.core.somaxconn may cut it)
CHUNK = 1 << 16  # bytes that are read at once where they are thrown away

# Seconds
ARRIVES = 20.0  # for one picture: 2 MB at 1 Mbit/s
IDLE = 3  # times that, between two pictures
ANSWER = 10.0  # until a camera has taken its answer
LINGER_BUSY = 0.2  # how long what a camera sends is still read after it was told that the server is busy
LINGER = 0.25  # times ARRIVES: the same after it was refused for another reason

DEBIAN_TESSDATA = Path("/usr/share/tesseract-ocr/5/tessdata")


class Refused(Exception):
    """Ends a connection, with an answer."""

    def __init__(self, kind, words):
        super().__init__(words)
        self.kind = kind


# A picture's answer, and the picture with its plate marked (None where nobody looks at it).
Work = namedtuple("Work", ("answer", "picture"))


class Workers:
    """Threads that recognise plates: OpenCV and Tesseract let others run meanwhile. Each has a Tesseract of its own."""

    def __init__(self, count, tessdata, marks):
        self._own = threading.local()
        self._marks = marks
        self._pool = ThreadPoolExecutor(count, "worker", self._begin, (tessdata,))
        # Whoever connects is answered at once: no port is open before the models are loaded.
        all_here = threading.Barrier(count)
        for begun in [self._pool.submit(all_here.wait, 60) for _ in range(count)]:
            begun.result()

    def _begin(self, tessdata):
        self._own.reader = Reader(tessdata)

    async def work(self, picture):
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._work, picture)

    def _work(self, picture):
        begin = time.monotonic()
        try:
            size = jpeg.size(picture)
            grey = decode(picture, size)
            if grey is None:
                raise jpeg.NotUsable("no JPEG", "its pixels cannot be decoded")
            found = recognise(grey, self._own.reader)
            shown = marked(grey, found) if self._marks else None
        except jpeg.NotUsable as error:
            return Work({"error": error.kind, "message": str(error)}, None)
        except Exception:  # of three libraries: one picture's trouble is not the next one's
            traceback.print_exc()
            return Work({"error": "failed", "message": "the reader failed; its log says why"}, None)
        answer = _told(found, max(size) / max(grey.shape)) if found else {"plate": None}
        answer["ms"] = round((time.monotonic() - begin) * 1000)
        return Work(answer, shown)


def _told(plate, scale):
    """What an answer says of a plate, `scale` times as large in the camera's picture as where it was found."""
    corners = [[max(0, round(x * scale)), max(0, round(y * scale))] for x, y in plate.corners]
    return {
        "plate": plate.text,
        "confidence": plate.confidence,
        "countries": list(plate.countries),
        "corners": corners,
    }


class Cameras:
    """Talks with cameras."""

    def __init__(self, workers, name, page, patience):
        self._workers = workers
        self._name = name
        self._page = page
        self._patience = patience
        self._served = Counter()  # address: connections

    async def talk(self, reader, writer):
        address = network(writer.get_extra_info("peername")[0])
        if sum(self._served.values()) >= SERVED or self._served[address] >= SERVED_EACH:
            refused = Refused("busy", "%d cameras are served, %d of one address" % (SERVED, SERVED_EACH))
            await self._bye(reader, writer, refused, LINGER_BUSY)
            return
        self._served[address] += 1
        try:
            while await self._picture(reader, writer, address):
                pass
        except Refused as refused:
            await self._bye(reader, writer, refused, LINGER * self._patience)
        finally:
            self._served[address] -= 1
            if not self._served[address]:
                del self._served[address]

    async def _picture(self, reader, writer, address):
        """Receives and answers one picture. Returns whether another may come."""
        length = await _length(reader, self._patience)
        if length is None:
            return False
        if length > LARGEST:
            raise Refused("too large", "%d bytes are announced; at most %d" % (length, LARGEST))
        if not length:
            await self._answer(writer, {"error": "empty", "message": "a picture of 0 bytes"})
            return True
        picture = await _bytes(reader, length, self._patience)
        done = await self._workers.work(picture)
        await self._answer(writer, done.answer)
        if done.picture and self._page:
            self._page.add(done.picture, done.answer, address)
        return True

    async def _answer(self, writer, answer):
        writer.write(json.dumps({"by": self._name, **answer}).encode() + b"\n")
        async with asyncio.timeout(ANSWER):
            await writer.drain()

    async def _bye(self, reader, writer, refused, linger):
        """Says why, and reads what is still on its way for a while: a socket that is closed before that is reset, and
        the answer may be lost with it."""
        await self._answer(writer, {"error": refused.kind, "message": str(refused)})
        writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(linger):
                while await reader.read(CHUNK):
                    pass


def network(address):
    """Whose connections count as one's: an IPv4 address, or the 64 bits of IPv6 that a customer has at least."""
    found = ipaddress.ip_address(address)
    if found.version == 4:
        return address
    if found.ipv4_mapped:  # this socket has both families
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), 64), strict=False))


async def _length(reader, patience):
    """How long the next picture is, or None when none comes."""
    try:
        async with asyncio.timeout(patience * IDLE):
            first = await reader.read(1)
    except TimeoutError:
        raise Refused("too slow", "no picture within %g s" % (patience * IDLE)) from None
    if not first:
        return None
    return int.from_bytes(first + await _bytes(reader, 3, patience), "big")


async def _bytes(reader, count, seconds):
    try:
        async with asyncio.timeout(seconds):
            return await reader.readexactly(count)
    except TimeoutError:
        raise Refused("too slow", "a picture has to arrive within %g s" % seconds) from None
    except asyncio.IncompleteReadError as error:
        words = "%d of %d bytes came" % (len(error.partial), count)
        raise Refused("half a picture", words) from None


async def accept(listener, most, talk):
    """Accepts connections, at most so many at a time, and gives each to talk(reader, writer)."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(most)
    tasks = set()

    async def serve(sock):
        writer = None
        try:
            reader, writer = await asyncio.open_connection(sock=sock, limit=CHUNK)
            await talk(reader, writer)
        except (OSError, TimeoutError):
            pass  # the other side's business
        finally:
            if writer:
                writer.close()
            else:
                sock.close()
            room.release()

    while True:
        await room.acquire()
        try:
            sock, _ = await loop.sock_accept(listener)
        except OSError as error:  # no descriptors or memory left, or gone before it was accepted
            print("accept: %s" % error, file=sys.stderr)
            room.release()
            await asyncio.sleep(0.1)
            continue
        sock.setblocking(False)
        task = loop.create_task(serve(sock))
        tasks.add(task)  # the loop itself holds them only weakly
        task.add_done_callback(tasks.discard)


def listen(port):
    """A socket for both families, where there is IPv6."""
    if socket.has_dualstack_ipv6():
        made = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=WAITING)
    else:
        made = socket.create_server(("", port), backlog=WAITING)
    made.setblocking(False)
    return made


async def serve(arguments):
    page = Page(arguments.name) if arguments.web is not None else None
    workers = Workers(arguments.workers, arguments.tessdata, bool(page))
    cameras = Cameras(workers, arguments.name, page, arguments.patience)
    listener = listen(arguments.port)
    tasks = [accept(listener, OPEN, cameras.talk)]
    words = "plates on port %d" % listener.getsockname()[1]
    if page:
        listener = listen(arguments.web)
        tasks.append(accept(listener, page.OPEN, page.talk))
        words += ", a page on port %d" % listener.getsockname()[1]
    print(words, flush=True)
    await asyncio.gather(*tasks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=12345)
    parser.add_argument("--web", type=int, metavar="PORT", help="a page with the last pictures (default: none)")
    parser.add_argument("--name", default=socket.gethostname(), help="who answers, as the answers have it")
    parser.add_argument("--workers", type=int, default=2, help="pictures that are read side by side (default: 2)")
    parser.add_argument("--tessdata", type=Path, default=os.environ.get("TESSDATA_PREFIX", DEBIAN_TESSDATA))
    parser.add_argument("--patience", type=float, default=ARRIVES, help="seconds that a picture may take to arrive")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # nothing is to be saved, and nobody waits for a picture
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A camera that sends pictures to a reader of plates and says what came back, from whom, and how fast.

    camera.py ADDRESS FOLDER [--port 12345] [--rate 2] [--count 0] [--json]

FOLDER has JPEG files, which are sent in turn; where it has a plates.json (render.py), answers are compared with it. It
uses one connection as long as that lasts. A picture that gets no answer is lost, as with a traffic camera: the next
one is sent over a new connection. Exit code: 0; 1 if a picture had no answer or a wrong one; 2 for wrong usage.
"""

import argparse
import contextlib
import json
import socket
import statistics
import struct
import sys
import time
from collections import Counter, namedtuple
from pathlib import Path

LONGEST = 4096  # bytes of an answer

# What became of a picture: the answer (None where none came), milliseconds, bytes up and down, why there is no answer.
Sent = namedtuple("Sent", ("answer", "milliseconds", "up", "down", "reason"))


class Camera:
    """Keeps a connection while that lasts."""

    def __init__(self, address, port, timeout):
        self._where = address, port
        self._timeout = timeout
        self._sock = None

    def send(self, picture):
        """Sends a picture and waits for its answer."""
        begin = time.monotonic()
        data = struct.pack(">I", len(picture)) + picture
        try:
            line = self._ask(data)
            answer, reason = json.loads(line), ""
        except (OSError, ValueError) as error:
            self.close()
            line, answer, reason = b"", None, str(error) or type(error).__name__
        if answer and "error" in answer:
            self.close()  # the server may have done so
        return Sent(answer, (time.monotonic() - begin) * 1000, len(data), len(line), reason)

    def _ask(self, data):
        if self._sock is None:
            self._sock = socket.create_connection(self._where, self._timeout)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # who was refused in the middle of a picture has an answer
            self._sock.sendall(data)
        line = b""
        while not line.endswith(b"\n"):
            more = self._sock.recv(LONGEST)
            if not more or len(line) > LONGEST:
                raise ConnectionError("the connection ended without an answer")
            line += more
        return line

    def close(self):
        if self._sock:
            self._sock.close()
        self._sock = None


def words(name, sent, plate):
    """A line about a picture."""
    if sent.answer is None:
        return "%s  no answer: %s" % (name, sent.reason)
    answer = sent.answer
    found = "%s: %s" % (answer["error"], answer["message"]) if "error" in answer else answer["plate"] or "no plate"
    if answer.get("confidence"):
        found += " %d %%" % (answer["confidence"] * 100)
    if plate and answer.get("plate") != plate:
        found += " (it is %s)" % plate
    told = "%s  %s, by %s in %.1f ms, %d bytes up and %d down"
    return told % (name, found, answer.get("by"), sent.milliseconds, sent.up, sent.down)


def summary(results, plates):
    """What came of all: a dictionary of plain values."""
    answered = [(name, sent) for name, sent in results if sent.answer]
    times = sorted(sent.milliseconds for _, sent in answered)
    found = {
        "pictures": len(results),
        "answered": len(answered),
        "by": dict(Counter(sent.answer.get("by") for _, sent in answered)),
        "right": sum(1 for name, sent in answered if plates and sent.answer.get("plate") == plates.get(name)),
        "up": sum(sent.up for _, sent in results),
        "down": sum(sent.down for _, sent in results),
    }
    if times:
        found["milliseconds"] = {"median": round(statistics.median(times), 1), "most": round(times[-1], 1)}
    return found


def run(arguments, pictures, plates):
    camera = Camera(arguments.address, arguments.port, arguments.timeout)
    results = []
    due = time.monotonic()
    for number in range(arguments.count or len(pictures)):
        path = pictures[number % len(pictures)]
        sent = camera.send(path.read_bytes())
        results.append((path.name, sent))
        if not arguments.json:
            print(words(path.name, sent, plates.get(path.name)), flush=True)
        due = max(due + 1 / arguments.rate, time.monotonic()) if arguments.rate else 0
        time.sleep(max(0, due - time.monotonic()))
    camera.close()
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=12345)
    parser.add_argument("--rate", type=float, default=2, help="pictures a second (default: 2; 0: as fast as it can)")
    parser.add_argument("--count", type=int, default=0, help="how many (default: each picture once)")
    parser.add_argument("--timeout", type=float, default=10, help="seconds that an answer may take (default: 10)")
    parser.add_argument("--json", action="store_true", help="only the sum, as JSON")
    arguments = parser.parse_args()
    pictures = sorted(arguments.folder.glob("*.jpg"))
    if not pictures:
        parser.error("no *.jpg in %s" % arguments.folder)
    told = arguments.folder / "plates.json"
    plates = {name: entry["plate"] for name, entry in json.loads(told.read_text()).items()} if told.exists() else {}
    results = run(arguments, pictures, plates)
    total = summary(results, plates)
    if arguments.json:
        print(json.dumps(total))
    else:
        by = ", ".join("%d by %s" % (count, who) for who, count in sorted(total["by"].items())) or "by nobody"
        times = total.get("milliseconds", {"median": 0, "most": 0})
        print("%d pictures, %d answered (%s)" % (total["pictures"], total["answered"], by), end="")
        print("; %d right" % total["right"] if plates else "", end="")
        print("; %(median).1f ms, at most %(most).1f ms" % times, end="")
        print("; %(up)d bytes up, %(down)d down" % total)
    good = total["right"] if plates else total["answered"]
    return 0 if good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Many clients at once: who answers at many places, asked by one process with a socket for each.

clients.py           reads lines of JSON, [TIMEOUT, [[SOURCE, PROTO, ADDRESS, PORT], ...]], and answers each with a
                     line: the first word of what came back at each place, or "(reason)"
"""

import json
import os
import select
import socket
import struct
import sys
import time

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the end is a reset, and nothing of the connection is left


class Client:
    def __init__(self, source, proto, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.answer = ""
        self.is_asked = False
        self.socket = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        if proto == "tcp":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.socket.connect_ex((address, port))

    def go_on(self):
        """Does what can be done now; whether it is over."""
        try:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            if not self.is_asked:
                self.is_asked = True
                self.socket.send(b"hello")
                return False
            self.answer = (self.socket.recv(2048).decode().split() or ["(closed)"])[0]
        except BlockingIOError:
            return False
        except OSError as error:
            self.answer = "(%s)" % error.strerror
        return True

    @property
    def events(self):
        return select.POLLIN if self.is_asked else select.POLLOUT


def ask(timeout, questions):
    clients = [Client(*question) for question in questions]
    there = {client.socket.fileno(): client for client in clients}
    poll = select.poll()
    for fd, client in there.items():
        poll.register(fd, client.events)
    give_up = time.monotonic() + timeout
    while there and time.monotonic() < give_up:
        for fd, _ in poll.poll(max(0, give_up - time.monotonic()) * 1000):
            if there[fd].go_on():
                poll.unregister(fd)
                del there[fd]
            else:
                poll.modify(fd, there[fd].events)
    for client in clients:
        client.socket.close()
    return [client.answer or "(no answer)" for client in clients]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(ask(*json.loads(line))), flush=True)

# Attacks whoever closes a copy of its sockets: SO_LINGER of 60 s on each, with megabytes that nobody reads.
import contextlib
import os
import socket
import struct

import stage


def fill(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    peer.setblocking(False)
    with contextlib.suppress(OSError):
        while True:
            peer.send(bytes(1 << 16))
    peer.setblocking(True)


sock = stage.listening()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
stage.serve_beside(sock)
stage.wait_for_go()
other = stage.listening(7003)
clients = [socket.create_connection(("127.0.0.1", 7003)) for _ in range(50)]
peers = [other.accept()[0] for _ in clients]
for peer in peers:
    fill(peer)
stage.begun()
os.kill(os.getpid(), stage.signal.SIGSTOP)
stage.sleep()

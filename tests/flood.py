"""An account without rights that asks an embedded broker for the plan, and never stops: flood.py SOCKET

It holds as many connections as it gets, writes a thousand calls into each in one piece, again and again, and says
"floods" when it has begun. Run it as root: it becomes nobody.
"""

import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from viscum_agent import compat  # noqa: E402
from viscum_agent.ubus import wire  # noqa: E402
from viscum_agent.ubus.caller import Caller  # noqa: E402

NOBODY = 65534


def main(path):
    compat.drop_privileges(NOBODY, NOBODY, [NOBODY])
    with Caller(path) as caller:
        number = caller.lookup("viscum")[0].id
    body = [(wire.A_OBJID, number), (wire.A_METHOD, "plan"), (wire.A_DATA, b"")]
    piece = b"".join([wire.pack(wire.INVOKE, seq, number, body) for seq in range(1000)])
    peers = [connected(path) for _ in range(8)]
    print("floods", flush=True)
    while True:
        for peer in peers:
            try:
                peer.send(piece)
                peer.recv(1 << 20)
            except OSError:
                pass  # full, or nothing to read, or shown the door
        time.sleep(0.001)


def connected(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    peer.setblocking(False)
    return peer


if __name__ == "__main__":
    main(sys.argv[1])

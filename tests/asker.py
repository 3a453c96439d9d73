"""A client that asks again and again, and says when it was answered and by whom: for tests of how long nobody answers.

    asker.py ADDRESS PORT CONTROL-ADDRESS CONTROL-PORT

A line for each question: when it was answered or given up (time.monotonic), by whom ("-" for nobody), and how long the
same question to the control took just before, with the pause. The control is somebody whom no redirect concerns: what
it takes longer than usual is the machine's fault.
"""

import os
import socket
import sys
import time

PATIENCE = 0.2  # seconds
PAUSE = 0.01


def who(place, patience):
    try:
        with socket.create_connection(place, patience) as sock:
            sock.settimeout(patience)
            sock.sendall(b"x")
            return sock.recv(100).split()[0].decode()
    except (OSError, IndexError):
        return "-"


def main():
    address, port, control, control_port = sys.argv[1:]
    os.nice(-15)  # it stands for another machine
    while True:
        begin = time.monotonic()
        time.sleep(PAUSE)
        who((control, int(control_port)), 5)
        control_took = time.monotonic() - begin
        answered = who((address, int(port)), PATIENCE)
        print("%.4f %s %.4f" % (time.monotonic(), answered, control_took), flush=True)


main()

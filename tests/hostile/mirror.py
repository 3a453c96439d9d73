# Attacks whoever lists connections: 8,000 with itself, on the port that clients come by.
import resource
import socket

import stage

MANY = 8000


def hold(sock):
    held = []
    while True:
        held.append(sock.accept()[0])


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
stage.serve_beside()
stage.wait_for_go()
other = stage.listening(7003, backlog=4096)
accepts = stage.child(hold, other)
clients = [socket.create_connection(("127.0.0.%d" % (1 + number % 200), 7003)) for number in range(MANY)]
stage.begun()
stage.sleep()

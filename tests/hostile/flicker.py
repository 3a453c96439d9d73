# Attacks whoever follows what is open: the listening socket is opened and closed a hundred times a second.
import contextlib
import time

import stage

sock = stage.listening()
while not stage.os.path.exists(stage.path("go")):
    sock.settimeout(0.1)
    stage.answer(sock)
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    sock.close()
    time.sleep(0.005)
    with contextlib.suppress(OSError):
        sock = stage.listening()
        sock.settimeout(0.005)
        stage.answer(sock)

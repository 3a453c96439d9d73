# Attacks the check: connections are accepted and never answered. No check can tell that; others must not suffer.
import stage

sock = stage.listening()
while not stage.os.path.exists(stage.path("go")):
    sock.settimeout(0.1)
    stage.answer(sock)
stage.begun()
sock.settimeout(None)
held = []
while True:
    held.append(sock.accept()[0])
    del held[:-500]

# Attacks its own way to the clients, and who puts it back: addresses and routes go again and again.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    for words in ("addr flush dev eth0", "route flush table main", "-6 route flush table main", "addr flush dev lo"):
        subprocess.run(["ip", *words.split()], check=False, stderr=subprocess.DEVNULL)
    time.sleep(0.02)
stage.sleep()

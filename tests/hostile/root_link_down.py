# Attacks its own way to the clients, and who puts it back: eth0 goes down again and again.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    for words in (("set", "eth0", "down"), ("set", "eth0", "down"), ("set", "lo", "down")):
        subprocess.run(["ip", "link", *words], check=False)
    time.sleep(0.02)
stage.sleep()

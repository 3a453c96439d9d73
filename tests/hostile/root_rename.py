# Attacks whoever finds eth0 by its name: it is renamed, and another one put into its place.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
stage.begun()
end = time.time() + min(60, stage.left())
number = 0
while time.time() < end:
    number += 1
    for words in (
        "set eth0 down",
        "set eth0 name was%d" % number,
        "add eth0 type veth peer name not%d" % number,
        "set eth0 up",
    ):
        subprocess.run(["ip", "link", *words.split()], check=False, stderr=subprocess.DEVNULL)
    time.sleep(0.2)
    subprocess.run(["ip", "link", "del", "eth0"], check=False, stderr=subprocess.DEVNULL)
stage.sleep()

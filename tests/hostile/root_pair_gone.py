# Attacks the pair: eth0 is deleted, which takes the router's end with it, or moved to another namespace, in turn.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
away = stage.child(stage.unshare, stage.CLONE_NEWNET)
time.sleep(0.2)
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    for words in ("del eth0", "set eth0 netns %d" % away):
        subprocess.run(["ip", "link", *words.split()], check=False, stderr=subprocess.DEVNULL)
        time.sleep(0.1)
stage.sleep()

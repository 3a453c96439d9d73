# Attacks the rules inside its namespace: all of them go, and others come that drop everything, again and again.
import subprocess
import time

import stage

DROP = (
    "table inet other { chain input { type filter hook input priority 0 ; policy drop ; } ; "
    "chain output { type filter hook output priority 0 ; policy drop ; } ; }"
)

stage.serve_beside()
stage.wait_for_go()
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    subprocess.run(["nft", "flush ruleset"], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["nft", DROP], check=False, stderr=subprocess.DEVNULL)
    time.sleep(0.05)
stage.sleep()

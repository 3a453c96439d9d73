# Attacks the name of its namespace: it goes, so that nobody can enter it any more, again and again.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
stage.begun()
end = time.time() + min(60, stage.left())
name = "viscum-" + stage.os.environ["VISCUM_SERVICE"]
while time.time() < end:
    subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
    time.sleep(0.1)
stage.sleep()

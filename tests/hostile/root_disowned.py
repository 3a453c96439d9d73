# Attacks whoever knows its own by a mark that the program can reach: that of its namespace goes, or is another's.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
subprocess.run(["ip", "link", "set", "lo", "alias", "viscum witness"], check=False)
stage.begun()
time.sleep(5)
subprocess.run(["ip", "link", "set", "lo", "alias", "somebody else's"], check=False)
stage.sleep()

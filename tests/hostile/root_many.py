# Attacks whoever reads all that is in its namespace: 2,000 links, 20,000 routes and 5,000 addresses, and one of them
# comes and goes.
import subprocess
import time

import stage

stage.serve_beside()
stage.wait_for_go()
lines = ["link add v%d type veth peer name w%d" % (each, each) for each in range(1000)]
lines += ["route add blackhole 10.%d.%d.0/28" % (100 + each // 250, each % 250) for each in range(20000)]
lines += ["addr add 10.%d.%d.1/32 dev lo" % (200 + each // 250, each % 250) for each in range(5000)]
text = "\n".join(lines) + "\n"
subprocess.run(["ip", "-force", "-batch", "-"], input=text, text=True, check=False, stderr=subprocess.DEVNULL)
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    for verb in ("add", "del"):
        subprocess.run(["ip", "addr", verb, "10.1.1.1/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)
        time.sleep(0.1)
stage.sleep()

# Attacks whoever listens to its namespace's events, and reads all that is there: some thousand links, addresses and
# routes come and go each second.
import subprocess
import time

import stage


def storm(number):
    lines = []
    for each in range(200):
        lines.append("link add v%d-%d type veth peer name w%d-%d" % (number, each, number, each))
    for each in range(200):
        lines.append("route add blackhole 10.%d.%d.0/24" % (200 + number, each))
        lines.append("addr add 10.%d.%d.1/32 dev lo" % (210 + number, each))
    for each in range(200):
        lines.append("route del blackhole 10.%d.%d.0/24" % (200 + number, each))
        lines.append("addr del 10.%d.%d.1/32 dev lo" % (210 + number, each))
        lines.append("link set v%d-%d name x%d-%d" % (number, each, number, each))
    for each in range(200):
        lines.append("link del x%d-%d" % (number, each))
    text = "\n".join(lines) + "\n"
    end = time.time() + min(60, stage.left())
    while time.time() < end:
        subprocess.run(["ip", "-force", "-batch", "-"], input=text, text=True, check=False, stderr=subprocess.DEVNULL)


stage.serve_beside()
stage.wait_for_go()
for number in range(3):
    stage.child(storm, number)
time.sleep(0.5)
stage.begun()
stage.sleep()

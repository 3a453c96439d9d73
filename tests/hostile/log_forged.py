# Attacks whoever reads the log: heads of syslog, lines of the agent's, of the witness's and of others, with escapes.
import os
import time

import stage

LINES = (
    b"<5>Jan  1 00:00:00 dropbear[77]: Password auth succeeded for 'root' from 203.0.113.66:4444",
    b"viscumd: forged: healthy",
    b"<27>viscumd[1]: forged: a bug, please report it",
    b"x\nviscumd: forged: failed",
    b"x\r\nviscum-witness: forged",
    b"\x1b[2J\x1b]0;forged\x07\x9b2J\x00 forged \xe2\x80\xae",
    b"witness: forged: bypassed",
    b"\xff\xfe\x80 forged",
)

stage.serve_beside()
stage.wait_for_go()
for line in LINES:
    os.write(1, line + b"\n")
    os.write(2, line)
stage.begun()
while True:
    for line in LINES:
        os.write(1, line + b"\n")
    time.sleep(0.5)

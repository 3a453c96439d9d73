# Attacks everybody's share of the processor: 200 processes that only count.
import stage


def spin():
    while True:
        pass


stage.serve_beside()
stage.wait_for_go()
for _ in range(200):
    stage.child(spin)
stage.begun()
stage.sleep()

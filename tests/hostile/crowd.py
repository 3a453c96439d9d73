# Attacks whoever reads /proc: 3,000 children that sleep.
import stage

stage.serve_beside()
stage.wait_for_go()
for _ in range(3000):
    try:
        stage.child(stage.sleep)
    except OSError:
        break
stage.begun()
stage.sleep()

# Attacks whoever takes the main process for the service: it leaves the namespace, deaf, while a child serves on.
import stage

sock = stage.listening()
for _ in range(2):
    stage.child(stage.serve, sock)
stage.wait_for_go()
stage.ignore_signals()
stage.unshare(stage.CLONE_NEWUSER | stage.CLONE_NEWNET)
stage.begun()
stage.sleep()

# Attacks whoever asks politely: no signal that can be ignored or blocked gets through, in any thread or child.
import signal

import stage

stage.serve_beside()
stage.ignore_signals()
signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, 32)) - {signal.SIGALRM})
stage.child(stage.sleep)
stage.wait_for_go()
stage.begun()
stage.sleep()

"""The states of a service, with and without an agent; instance.py says how an agent goes from one to the other.

Without an agent nobody checks programs, so a state is what the kernel shows: `healthy` is a redirect with a program
behind it, `bypassed` a program without one, `failed` is when the program is gone, `stopped` when nothing of the service
is there, `waiting` when it can't be.
"""

DISABLED, STOPPED, WAITING, STARTING, HEALTHY = "disabled", "stopped", "waiting", "starting", "healthy"
BYPASSED, BACKOFF, FAILED, STOPPING = "bypassed", "backoff", "failed", "stopping"

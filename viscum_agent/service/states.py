"""The states of a service, with and without an agent; instance.py says how an agent goes from one to the other.

Without an agent nothing checks programs, so the state follows from what the kernel shows: `healthy` is a redirect with
a program behind it, `bypassed` a program without a redirect; `failed`: the program is gone; `stopped`: the service has
no objects; `waiting`: it can't have any.
"""

DISABLED, STOPPED, WAITING, STARTING, HEALTHY = "disabled", "stopped", "waiting", "starting", "healthy"
BYPASSED, BACKOFF, FAILED, STOPPING = "bypassed", "backoff", "failed", "stopping"

"""One change of the router at a time: `viscum up` and `down`, and an agent that starts, wait for each other."""

from . import compat

PATH = "/var/run/viscum.lock"
O_RDWR = 2


def take():
    """Waits for the lock; a descriptor that holds it until it is closed, at the latest with the process."""
    fd = compat.fd_open(PATH, O_RDWR | compat.O_CREATE, 0o600)
    compat.flock(fd)
    return fd

"""When to restart a program that ended: a pure function of its history, in procd's words.

A program that ran for less than `threshold` seconds counts as crashed. It is restarted after `timeout` seconds; after
more than `retry` crashes in a row it stays down until somebody starts it. A `retry` of 0 means no limit. A program that
ran longer starts with 0 crashes again. (procd: service/instance.c, instance_exit.)
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Respawn


def after_exit(policy: "Respawn", crashes: int, ran: float) -> "tuple[int, int]":
    """(crashes in a row with this one, seconds until the restart or -1 for never); `ran` is how long it ran (s)."""
    crashes = crashes + 1 if ran < policy.threshold else 0
    if policy.retry > 0 and crashes > policy.retry:
        return crashes, -1
    return crashes, policy.timeout

"""When a program that ended is started again: a pure function of its history, in procd's words.

A program that ran for less than `threshold` seconds counts as crashed. It is started again after `timeout` seconds;
after more than `retry` crashes in a row it is left alone, until somebody starts it. With a `retry` of 0 it is tried for
ever. One that ran longer begins anew. (procd: service/instance.c, instance_exit.)
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Respawn


def after_exit(policy: "Respawn", crashes: int, ran: float) -> "tuple[int, int]":
    """(crashes in a row with this one, seconds until the next start or -1 for never); `ran` is how long it ran (s)."""
    crashes = crashes + 1 if ran < policy.threshold else 0
    if policy.retry > 0 and crashes > policy.retry:
        return crashes, -1
    return crashes, policy.timeout

"""Status codes, and the errors that this package raises."""

from ..errors import ForeignError

# enum ubus_msg_status in ubusmsg.h of ubus.
OK = 0
INVALID_COMMAND = 1
INVALID_ARGUMENT = 2
METHOD_NOT_FOUND = 3
NOT_FOUND = 4
NO_DATA = 5
PERMISSION_DENIED = 6
TIMEOUT = 7
NOT_SUPPORTED = 8
UNKNOWN_ERROR = 9
CONNECTION_FAILED = 10
NO_MEMORY = 11
PARSE_ERROR = 12
SYSTEM_ERROR = 13

_TEXTS = (
    "no error",
    "invalid command",
    "invalid argument",
    "there is no such method",
    "there is no such object",
    "no answer came",
    "permission denied",
    "the answer took too long",
    "not supported",
    "unknown error",
    "no connection",
    "out of memory",
    "the message could not be read",
    "system error",
)


def text(code: int) -> str:
    """A status code in words."""
    return _TEXTS[code] if 0 <= code < len(_TEXTS) else "status %d" % code


class UbusError(ForeignError):
    """Bytes that are not ubus, or values that ubus can't encode. `code` is the status to report to a peer."""

    code = PARSE_ERROR


class TooLargeError(UbusError):
    """A message over the limit: split or shorten it; nothing of it was sent."""

    code = NO_MEMORY


class UbusStatus(UbusError):
    """A status other than OK, from or for a peer. `message` is the text that came with it, "" for none."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or text(code))
        self.code = code
        self.message = message

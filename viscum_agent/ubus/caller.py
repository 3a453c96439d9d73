"""The command line's client of ubusd or the broker: calls that wait for answers, built on the agent's client."""

from .. import compat
from ..paths import SOCKET
from .client import TIMEOUT_DEFAULT, Client
from .codes import CONNECTION_FAILED, NOT_FOUND, TIMEOUT, UbusStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .blob import Fields
    from .client import Found

WAIT = 5.0  # seconds, for requests that ubusd answers itself


class Caller:
    """One connection; a context manager. Raises UbusError; its code is CONNECTION_FAILED if nobody answers."""

    def __init__(self, path: str = SOCKET, timeout: float = WAIT) -> None:
        self._reason = ""
        self._raised: Exception | None = None
        self.client = Client(path, self._state, self._failed, reconnect=False)
        self.client.tick(compat.monotonic())
        self._wait(lambda: self.client.connected, timeout)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.client.close()

    def _state(self, _connected: bool, reason: str) -> None:
        self._reason = reason

    def _failed(self, error: Exception) -> None:
        self._raised = error

    def call(self, path: str, method: str, args: "dict | None" = None, timeout: float = TIMEOUT_DEFAULT) -> dict:
        """The reply as a dict."""
        return self._result(lambda done: self.client.invoke(path, method, args, done, timeout), timeout)

    def lookup(self, pattern: "str | None" = None, timeout: float = TIMEOUT_DEFAULT) -> "list[Found]":
        """[Found]; an empty list is an error only if a pattern was given."""
        try:
            return self._result(lambda done: self.client.lookup(pattern, done, timeout), timeout)
        except UbusStatus as error:
            if pattern is None and error.code == NOT_FOUND:
                return []
            raise

    def send_event(self, name: str, data: "Fields") -> None:
        self._result(lambda done: self.client.send_event(name, data, done), TIMEOUT_DEFAULT)

    def listen(
        self, callback: "Callable[[str, dict], object]", pattern: str = "*", timeout: "float | None" = None
    ) -> None:
        """Calls `callback(name, data)` for each event, until it returns True or `timeout` seconds passed."""
        finished: list[bool] = []

        def event(name: str, data: dict) -> None:
            if not finished and callback(name, data):
                finished.append(True)

        listeners = []

        def start(done: "Callable[..., object]") -> None:
            listeners.append(self.client.listen(pattern, event, lambda error: done(error, None)))

        self._result(start, WAIT)
        self._until(finished, timeout)
        listeners[0].remove()

    def subscribe(self, path: str, callback: "Callable[[str, dict], object]", timeout: "float | None" = None) -> None:
        """Calls `callback(kind, data)` for each notification, until it returns True or `timeout` seconds passed."""
        finished: list[bool] = []

        def notified(kind: str, data: dict) -> None:
            if not finished and callback(kind, data):
                finished.append(True)

        subscriptions = []

        def start(done: "Callable[..., object]") -> None:
            subscriptions.append(self.client.subscribe(path, notified, lambda active, error: done(error, None)))

        self.lookup(path)
        self._result(start, WAIT)
        self._until(finished, timeout)
        subscriptions[0].remove()

    def _until(self, finished: list, timeout: "float | None") -> None:
        try:
            self._wait(lambda: finished, timeout)
        except UbusStatus as error:
            if error.code != TIMEOUT:
                raise

    def _result(self, start: "Callable[[Callable[..., object]], object]", timeout: float) -> "Any":
        answers = []
        start(lambda error, reply: answers.append((error, reply)))
        # The request's own timeout counts: wait a little longer here.
        self._wait(lambda: answers, timeout + 1)
        error, reply = answers[0]
        if error:
            raise error
        return reply

    def _wait(self, done: "Callable[[], object]", timeout: "float | None") -> None:
        end = None if timeout is None else compat.monotonic() + timeout
        while True:
            if self._raised:
                error, self._raised = self._raised, None
                raise error
            if done():
                return
            now = compat.monotonic()
            if end is not None and now >= end:
                raise UbusStatus(TIMEOUT)
            if self.client.fd < 0 and self.client.next_timeout() is None:
                raise UbusStatus(CONNECTION_FAILED, self._reason)
            self._step(now, end)

    def _step(self, now: float, end: "float | None") -> None:
        times = [time for time in (end, self.client.next_timeout()) if time is not None]
        milliseconds = max(0, int((min(times) - now) * 1000) + 1) if times else -1
        if self.client.fd < 0:  # the backlog was full: try again
            compat.sleep(milliseconds / 1000)
            self.client.tick(compat.monotonic())
            return
        wanted = (compat.POLLIN if self.client.wants_read else 0) | (compat.POLLOUT if self.client.wants_write else 0)
        events = compat.wait_fd(self.client.fd, wanted, milliseconds)
        if events & compat.POLLOUT:
            self.client.on_writable()
        if events & ~compat.POLLOUT:
            self.client.on_readable()
        self.client.tick(compat.monotonic())

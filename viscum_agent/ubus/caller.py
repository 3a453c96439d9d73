"""The command line's client of ubusd or of the broker: calls that wait for answers, made of the agent's client."""

from .. import compat
from ..paths import SOCKET
from .client import TIMEOUT_DEFAULT, Client
from .codes import CONNECTION_FAILED, NOT_FOUND, TIMEOUT, UbusStatus

WAIT = TIMEOUT_DEFAULT  # seconds, for what ubusd answers itself: in its place may be an agent that is busy


class Caller:
    """One connection. Use as a context manager. Raises UbusError; its code is CONNECTION_FAILED if nobody answers."""

    def __init__(self, path=SOCKET, timeout=WAIT):
        self._reason = ""
        self._raised = None
        self.client = Client(path, self._state, self._failed, reconnect=False)
        self.client.tick(compat.monotonic())
        self._wait(lambda: self.client.connected, timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.client.close()

    def _state(self, _connected, reason):
        self._reason = reason

    def _failed(self, error):
        self._raised = error

    def call(self, path, method, args=None, timeout=TIMEOUT_DEFAULT):
        """The reply as a dict."""
        return self._result(lambda done: self.client.invoke(path, method, args, done, timeout), timeout)

    def lookup(self, pattern=None, timeout=TIMEOUT_DEFAULT):
        """[Found]; none is an error only where a pattern was given."""
        try:
            return self._result(lambda done: self.client.lookup(pattern, done, timeout), timeout)
        except UbusStatus as error:
            if pattern is None and error.code == NOT_FOUND:
                return []
            raise

    def send_event(self, name, data):
        self._result(lambda done: self.client.send_event(name, data, done), TIMEOUT_DEFAULT)

    def listen(self, callback, pattern="*", timeout=None):
        """Calls `callback(name, data)` for each event, until it returns True or `timeout` seconds passed."""
        finished: list[bool] = []

        def event(name, data):
            if not finished and callback(name, data):
                finished.append(True)

        listeners = []

        def start(done):
            listeners.append(self.client.listen(pattern, event, lambda error: done(error, None)))

        self._result(start, WAIT)
        self._until(finished, timeout)
        listeners[0].remove()

    def subscribe(self, path, callback, timeout=None):
        """Calls `callback(kind, data)` for each notification, until it returns True or `timeout` seconds passed."""
        finished: list[bool] = []

        def notified(kind, data):
            if not finished and callback(kind, data):
                finished.append(True)

        subscriptions = []

        def start(done):
            subscriptions.append(self.client.subscribe(path, notified, lambda active, error: done(error, None)))

        self.lookup(path)
        self._result(start, WAIT)
        self._until(finished, timeout)
        subscriptions[0].remove()

    def _until(self, finished, timeout):
        try:
            self._wait(lambda: finished, timeout)
        except UbusStatus as error:
            if error.code != TIMEOUT:
                raise

    def _result(self, start, timeout):
        answers = []
        start(lambda error, reply: answers.append((error, reply)))
        # The request's own time is the one that counts: a little more here.
        self._wait(lambda: answers, timeout + 1)
        error, reply = answers[0]
        if error:
            raise error
        return reply

    def _wait(self, done, timeout):
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

    def _step(self, now, end):
        times = [time for time in (end, self.client.next_timeout()) if time is not None]
        milliseconds = max(0, int((min(times) - now) * 1000) + 1) if times else -1
        if self.client.fd < 0:  # there was no room for another connection: once more
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

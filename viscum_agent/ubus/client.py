"""The agent's client of ubusd or the broker: it never waits.

The owner of the loop polls `fd` for POLLIN while `wants_read` and POLLOUT while `wants_write`, calls `on_readable`
(also for POLLHUP and POLLERR) and `on_writable`, and `tick(now)` when `next_timeout()` is due (seconds of
compat.monotonic, None for never). The client reconnects by itself, and after each connection publishes its objects,
listens and subscribes again: ubusd forgets all of it when it restarts.

Each call handles a few messages at most, and at most one method call, which may take long. If more is left,
`next_timeout()` is due at once, so that the owner of the loop decides what goes before it.

Errors of peers are the first argument of a callback: None, or a UbusError whose `code` is a status. A callback may run
before the function that it was given to returns. What can't be sent at all raises UbusError at once.
"""

from collections import namedtuple

from .. import compat
from ..paths import SOCKET
from . import blob, wire
from .channel import Channel
from .codes import (
    CONNECTION_FAILED,
    INVALID_ARGUMENT,
    METHOD_NOT_FOUND,
    NO_MEMORY,
    NOT_FOUND,
    OK,
    PARSE_ERROR,
    TIMEOUT,
    UNKNOWN_ERROR,
    TooLargeError,
    UbusError,
    UbusStatus,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from .blob import Fields
    from .budget import Budget
    from .wire import Message

# Seconds. libubus retries every second; here a socket that is back is used sooner, and one that stays away costs less.
RETRY_FIRST = 0.2
RETRY_LAST = 5.0
HELLO_TIMEOUT = 5.0  # ubusd says hello at once
TIMEOUT_DEFAULT = 30.0  # what the `ubus` command waits

# Bytes waiting for a ubusd that does not read. Above HIGH no further calls are read, so what waits stays below HIGH
# plus one answer. Notifications and events above NOTIFY_LIMIT are dropped: the next one is worth more than a stale one.
HIGH = 256 * 1024
NOTIFY_LIMIT = 256 * 1024
QUEUE_LIMIT = HIGH + 2 * wire.MAX_MESSAGE
STATUS_ROOM = 65536  # on top of that, for the status of an answer that did not fit
PENDING_LIMIT = 1024  # requests waiting for an answer
REPLY_LIMIT = 4 * wire.MAX_MESSAGE  # bytes of all parts of one answer
AT_ONCE = 16  # messages, at most one of them a method call
BUSY_PAUSE = 0.05  # seconds until the next try when the backlog is full

# A handler that returns this answers later, with Request.finish or Request.fail.
DEFERRED = object()

# `policy`: the arguments, as (name, blob type). Others are ignored (uhttpd adds ubus_rpc_session), any may be missing.
Method = namedtuple("Method", ("handler", "policy"))
# What a lookup finds: `methods` is {name: {argument: blob type}}.
Found = namedtuple("Found", ("path", "id", "methods"))


class Object:
    """A published object. `id` is 0 until ubusd knows it. `kind` is an object whose methods it has: ubusd keeps them
    once for all of these, by the number `type`, and they wait for that."""

    def __init__(
        self,
        client: "Client",
        path: "str | None",
        methods: "Collection[tuple[str, Method]]",
        kind: "Object | None" = None,
    ) -> None:
        self.path = path
        self.kind = kind
        self.methods: dict[str, Method] = kind.methods if kind else dict(methods)
        self.id = self.type = 0
        self.has_subscribers = False
        # Called with the object when has_subscribers changes.
        self.on_subscribers: Callable[[Object], object] | None = None
        # Called with an error or None each time ubusd answers.
        self.on_registered: Callable[[UbusError | None], object] | None = None
        self.signature = blob.encode([(name, blob.Table(method.policy)) for name, method in methods])
        self._client = client
        self.removed = False
        self.retry_at: float | None = None
        self.backoff = 1.0

    def notify(self, kind: str, data: "Fields") -> bool:
        """Notifies the subscribers; False if there are none or the queue is too full."""
        if not self.id or not self.has_subscribers:
            return False
        body = [(wire.A_OBJID, self.id), (wire.A_METHOD, kind), (wire.A_DATA, blob.encode(data, wire.MAX_DATA))]
        body.append((wire.A_NO_REPLY, True))
        return self._client.post(wire.NOTIFY, self.id, body)

    def remove(self) -> None:
        self._client.remove_object(self)

    def receive(self, _method: str, _data: dict) -> None:
        """For objects without methods: handles what arrived for a subscription or a listener."""


class Request:
    """An incoming call. Answer it once, with `finish` or `fail`; `reply` sends a part before that. `path` is what was
    called."""

    path: "str | None" = None

    def __init__(self, client: "Client", target: int, message: "Message", attributes: "dict[int, Any]") -> None:
        self.user = attributes.get(wire.A_USER, "")
        self.group = attributes.get(wire.A_GROUP, "")
        self._client = client
        self._connection = client.connection
        self._target = target
        self._seq = message.seq
        self._peer = message.peer
        # ubusd sends events as calls from nobody.
        self._silent = message.peer == 0 or attributes.get(wire.A_NO_REPLY, False)
        self.done = False

    def reply(self, data: "Fields") -> None:
        """Sends data; more may follow. Raises TooLargeError, having sent nothing."""
        body = [(wire.A_OBJID, self._target), (wire.A_DATA, blob.encode(data, wire.MAX_DATA))]
        if not self._wanted() or self._send(wire.DATA, body, QUEUE_LIMIT):
            return
        if self._wanted():  # the connection did not just end
            raise TooLargeError("too much of it is still unread")

    def finish(self, data: "Fields | None" = None) -> None:
        if data is not None:
            self.reply(data)
        self._status(OK)

    def fail(self, code: int, message: str = "") -> None:
        """A status has no room for text, so the message is sent before it, as data."""
        if message:
            try:
                self.reply({"message": message})
            except TooLargeError:
                pass
        self._status(code)

    def _status(self, code: int) -> None:
        if self._wanted():
            body = [(wire.A_STATUS, code), (wire.A_OBJID, self._target)]
            self._send(wire.STATUS, body, QUEUE_LIMIT + STATUS_ROOM)
        self.done = True

    def _wanted(self) -> bool:
        """Whether anybody still waits: not after a status, nor on a connection that is gone."""
        return not self.done and not self._silent and self._client.is_current(self._connection)

    def _send(self, kind: int, body: "Iterable[tuple[int, Any]]", limit: int) -> bool:
        return self._client.send(wire.pack(kind, self._seq, self._peer, body), limit)


class _Pending:
    """A request waiting for its status."""

    def __init__(self, peer: int, deadline: float, callback: "Callable[..., object]") -> None:
        self.peer = peer
        self.deadline = deadline
        self.callback = callback  # (code, [attributes of each DATA])
        self.parts: list[dict[int, Any]] = []
        self.size = 0


class _Events(Object):
    """The one hidden object that receives all events: ubusd sends an event to an object only once."""

    def __init__(self, client: "Client") -> None:
        super().__init__(client, None, [])
        self.listeners: list[Listener] = []
        self.patterns: list[str] = []  # those registered on this connection

    def receive(self, method: str, data: dict) -> None:
        for listener in list(self.listeners):
            if listener in self.listeners and wire.matches(listener.pattern, method):
                listener.callback(method, data)


class Listener:
    """Listens for events of one pattern."""

    def __init__(
        self,
        events: "_Events",
        pattern: str,
        callback: "Callable[..., object]",
        on_ready: "Callable[..., object] | None",
    ) -> None:
        self._events = events
        self.pattern = pattern
        self.callback = callback
        self.on_ready = on_ready

    def remove(self) -> None:
        if self in self._events.listeners:
            self._events.listeners.remove(self)


class Subscription(Object):
    """Notifications of one object, until removed: the object may come, go and come back."""

    def __init__(
        self, client: "Client", path: str, callback: "Callable[..., object]", on_change: "Callable[..., object] | None"
    ) -> None:
        super().__init__(client, None, [])
        self.target_path = path
        self.active = False
        self.listener: Listener = compat.LATER  # waits for the object
        self.callback = callback  # (kind, data)
        self.on_change = on_change  # (active, error)

    def receive(self, method: str, data: dict) -> None:
        self.callback(method, data)

    def remove(self) -> None:
        self.listener.remove()
        super().remove()

    def changed(self, active: bool, error: "UbusError | None" = None) -> None:
        if active == self.active and error is None:
            return
        self.active = active
        if self.on_change:
            self.on_change(active, error)


class Client:
    """`on_state(connected, reason)` is called when the connection changes, `on_error(error)` for a fault in a callback.
    `budget` (budget.Budget): the seconds that callers may use, by the name of their account, except those in `free`."""

    def __init__(
        self,
        path: str = SOCKET,
        on_state: "Callable[[bool, str], object] | None" = None,
        on_error: "Callable[[Exception], object]" = compat.print_error,
        reconnect: bool = True,
        budget: "Budget | None" = None,
        free: "Collection[str]" = ("root",),
    ) -> None:
        self.path = path
        self.connection = 0  # counts them
        self.client_id = 0  # 0: not connected, or no hello from ubusd yet
        self.dropped = 0  # notifications and events that were left out
        self._on_state = on_state
        self._on_error = on_error
        self._reconnect = reconnect
        self._budget: Budget = budget or compat.LATER
        self._free = free
        self._channel: Channel = compat.LATER  # whenever there is a connection
        self._seq = 0
        self._pending: dict[int, _Pending] = {}
        self._objects: list[Object] = []
        self._by_id: dict[int, Object] = {}
        self._events: _Events = compat.LATER
        self._next_attempt: float | None = 0.0
        self._backoff = RETRY_FIRST
        self._hello_deadline = 0.0

    # Interface to the loop.

    @property
    def fd(self) -> int:
        """-1 while there is no connection."""
        return self._channel.fd if self._channel else -1

    @property
    def connected(self) -> bool:
        return self.client_id != 0

    @property
    def wants_read(self) -> bool:
        """Not while something received is still to be handled."""
        return self._channel is not None and self._channel.queued <= HIGH and not self._channel.waiting

    @property
    def wants_write(self) -> bool:
        return self._channel is not None and self._channel.queued > 0

    def next_timeout(self) -> "float | None":
        if self._channel is None:
            return self._next_attempt
        if self._channel.ended or self._has_turn():
            return 0.0
        times = [self._pending[seq].deadline for seq in self._pending]
        times.extend([item.retry_at for item in self._objects if item.retry_at is not None])
        if not self.client_id:
            times.append(self._hello_deadline)
        return min(times) if times else None

    def tick(self, now: float) -> None:
        if self._channel is None:
            if self._next_attempt is not None and now >= self._next_attempt:
                self._connect(now)
            return
        if self._channel.ended or self._has_turn():
            self._take()
            if self._channel is None:
                return
        if not self.client_id and now >= self._hello_deadline:
            self._lost("no hello came")
            return
        for seq in [seq for seq in self._pending if self._pending[seq].deadline <= now]:
            self._answer(seq, TIMEOUT)
        for item in [item for item in self._objects if item.retry_at is not None and item.retry_at <= now]:
            self._register(item)

    def _has_turn(self) -> bool:
        """Whether something already received is still to be handled."""
        return self._channel.queued <= HIGH and self._channel.waiting

    def on_readable(self) -> None:
        if self._channel is None:
            return
        if self.wants_read:
            self._channel.receive()
        self._take()

    def on_writable(self) -> None:
        if self._channel is None:
            return
        self._channel.flush()
        self._take()

    def close(self) -> None:
        """Ends the connection for good; ubusd then removes what was published."""
        self._next_attempt = None
        self._reconnect = False
        if self._channel:
            self._lost("closed")

    # The connection.

    def _connect(self, now: float) -> None:
        try:
            fd = compat.unix_connect(self.path)
        except OSError as error:
            if error.errno == compat.EAGAIN:  # the server's backlog is full
                self._next_attempt = now + BUSY_PAUSE
                return
            self._again(now)
            self._tell(False, "%s: %s" % (self.path, compat.strerror(error.errno)))
            return
        self.connection += 1
        self._channel = Channel(fd)
        self._hello_deadline = now + HELLO_TIMEOUT

    def _again(self, now: float) -> None:
        if not self._reconnect:
            self._next_attempt = None
            return
        self._next_attempt = now + self._backoff
        self._backoff = min(self._backoff * 2, RETRY_LAST)

    def _lost(self, reason: str) -> None:
        self._channel.close()
        self._channel = compat.LATER
        self.client_id = 0
        self.connection += 1
        self._by_id = {}
        self._again(compat.monotonic())
        for item in self._objects:
            item.id = item.type = 0
            item.retry_at = None
            self._subscribers(item, False)
            if isinstance(item, Subscription):
                self._guard(item.changed, False)
        for seq in list(self._pending):
            self._answer(seq, CONNECTION_FAILED)
        self._tell(False, reason)

    def _tell(self, connected: bool, reason: str) -> None:
        if self._on_state:
            self._on_state(connected, reason)

    def _hello(self, message: "Message") -> None:
        if self.client_id:
            return
        self.client_id = message.peer
        self._backoff = RETRY_FIRST
        self._tell(True, "")
        for item in list(self._objects):
            if not item.id:
                self._register(item)

    def _take(self) -> None:
        """Handles some of the received messages, as long as the send queue has room."""
        connection = self.connection
        for _ in range(AT_ONCE):
            message = self._channel.next() if self._channel.queued <= HIGH else None
            if message is None:
                break
            called = self._dispatch(message)
            if connection != self.connection:
                return
            if called:
                break
        if self._channel.ended and not self._channel.waiting:
            self._lost(self._channel.ended)

    # Sending.

    def is_current(self, connection: int) -> bool:
        return self._channel is not None and not self._channel.ended and connection == self.connection

    def send(self, data: bytes, limit: int = QUEUE_LIMIT) -> bool:
        return self._channel is not None and self._channel.send(data, limit)

    def post(self, kind: int, peer: int, body: "Iterable[tuple[int, Any]]") -> bool:
        """Sends a message that nobody waits for."""
        sent = self.send(wire.pack(kind, self._next_seq(), peer, body), NOTIFY_LIMIT)
        if not sent:
            self.dropped += 1
        return sent

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) & 0xFFFF
        while self._seq in self._pending:
            self._seq = (self._seq + 1) & 0xFFFF
        return self._seq

    def _ask(
        self,
        kind: int,
        peer: int,
        body: "Iterable[tuple[int, Any]]",
        callback: "Callable[..., object]",
        timeout: float = TIMEOUT_DEFAULT,
    ) -> None:
        """Sends a request; `callback(code, [attributes of each answer])`."""
        if not self.client_id:
            callback(CONNECTION_FAILED, [])
            return
        if len(self._pending) >= PENDING_LIMIT:
            callback(NO_MEMORY, [])
            return
        seq = self._next_seq()
        data = wire.pack(kind, seq, peer, body)
        self._pending[seq] = _Pending(peer, compat.monotonic() + timeout, callback)
        if not self.send(data):
            self._answer(seq, NO_MEMORY)

    def _answer(self, seq: int, code: int) -> None:
        pending = self._pending.pop(seq)
        self._guard(pending.callback, code, pending.parts)

    def _guard(self, function: "Callable[..., object]", *arguments: object) -> None:
        """Calls a callback: its faults are not the connection's."""
        try:
            function(*arguments)
        except Exception as error:
            self._on_error(error)

    # Receiving.

    def _dispatch(self, message: "Message") -> bool:
        """Whether the message was a method call."""
        if message.kind == wire.HELLO:
            self._hello(message)
            return False
        try:
            attributes = wire.parse(message.body)
        except UbusError:
            # One bad message from another program is no reason to disconnect; the waiting caller gets an error.
            if self._waits_for(message):
                self._answer(message.seq, PARSE_ERROR)
            return False
        if message.kind == wire.STATUS or message.kind == wire.DATA:
            self._response(message, attributes)
            return False
        item = self._by_id.get(attributes.get(wire.A_OBJID, 0))
        if message.kind == wire.INVOKE:
            self._invoked(item, message, attributes)
            return item is not None and item.path is not None
        if message.kind == wire.NOTIFY and item:
            self._subscribers(item, attributes.get(wire.A_ACTIVE, False))
        elif message.kind == wire.UNSUBSCRIBE and isinstance(item, Subscription):
            self._guard(item.changed, False)
        return False

    def _subscribers(self, item: "Object", active: bool) -> None:
        if item.has_subscribers == active:
            return
        item.has_subscribers = active
        if item.on_subscribers:
            self._guard(item.on_subscribers, item)

    def _waits_for(self, message: "Message") -> bool:
        pending = self._pending.get(message.seq)
        return pending is not None and pending.peer == message.peer and message.kind in (wire.STATUS, wire.DATA)

    def _response(self, message: "Message", attributes: "dict[int, Any]") -> None:
        if not self._waits_for(message):
            return
        pending = self._pending[message.seq]
        if message.kind == wire.STATUS:
            self._answer(message.seq, attributes.get(wire.A_STATUS, INVALID_ARGUMENT))
            return
        pending.size += len(message.body)
        if pending.size > REPLY_LIMIT:
            self._answer(message.seq, NO_MEMORY)
            return
        pending.parts.append(attributes)

    def _invoked(self, item: "Object | None", message: "Message", attributes: "dict[int, Any]") -> None:
        request = Request(self, attributes.get(wire.A_OBJID, 0), message, attributes)
        name = attributes.get(wire.A_METHOD)
        if item is None or name is None:
            request.fail(NOT_FOUND if item is None else INVALID_ARGUMENT)
            return
        request.path = item.path
        began = compat.monotonic()
        try:
            self._check_budget(item, request.user)
            result = self._handle(item, name, attributes.get(wire.A_DATA, b""), request)
            if result is not DEFERRED and not request.done:
                request.finish(result)
        except TooLargeError as error:
            request.fail(NO_MEMORY, "the answer does not fit into a message: %s" % error.args[0])
        except UbusStatus as error:
            request.fail(error.code, error.message)
        except UbusError as error:
            request.fail(error.code, str(error.args[0]))
        except MemoryError:
            request.fail(NO_MEMORY)
        except Exception as error:
            request.fail(UNKNOWN_ERROR)
            self._on_error(error)
        if self._counts(item, request.user):
            self._budget.spend(request.user, compat.monotonic() - began)

    def _counts(self, item: "Object", user: str) -> bool:
        return self._budget is not None and item.path is not None and user not in self._free

    def _check_budget(self, item: "Object", user: str) -> None:
        wait = self._budget.wait(user) if self._counts(item, user) else 0
        if wait:
            text = "account '%s' has used more than its share of the agent's time: try again in %d s"
            raise UbusStatus(TIMEOUT, text % (user, int(wait) + 1))

    def _handle(self, item: "Object", name: str, data: bytes, request: "Request") -> "Any":
        if item.path is None:
            item.receive(name, blob.decode(data))
            return None
        method = item.methods.get(name)
        if method is None:
            raise UbusStatus(METHOD_NOT_FOUND)
        return method.handler(name, arguments(method.policy, blob.decode(data)), request)

    # Objects.

    def add_object(
        self, path: "str | None", methods: "Collection[tuple[str, Method]]", kind: "Object | None" = None
    ) -> "Object":
        """Publishes an object, now and after every reconnect. `methods` is a list of (name, Method); with `kind`, an
        object without a path, they are those of that one."""
        item = Object(self, path, methods, kind)
        self._add(item)
        return item

    def _add(self, item: "Object") -> None:
        self._objects.append(item)
        if self.client_id:
            self._register(item)

    def _register(self, item: "Object") -> None:
        item.retry_at = None
        if item.kind and not item.kind.type:
            return  # until that one is registered
        body: list[tuple[int, Any]] = [] if item.path is None else [(wire.A_OBJPATH, item.path)]
        if item.kind:
            body.append((wire.A_OBJTYPE, item.kind.type))
        elif item.methods or body:
            body.append((wire.A_SIGNATURE, item.signature))
        self._ask(wire.ADD_OBJECT, 0, body, lambda code, parts: self._registered(item, code, parts))

    def _registered(self, item: "Object", code: int, parts: "list[dict[int, Any]]") -> None:
        if code == CONNECTION_FAILED:
            return  # the next connection registers it again
        number = parts[0].get(wire.A_OBJID, 0) if parts else 0
        if code != OK or not number:
            # The name is taken, or we have no right to it: that may change.
            item.retry_at = compat.monotonic() + item.backoff
            item.backoff = min(item.backoff * 2, 60.0)
            self._refused(item, UbusStatus(code or NOT_FOUND))
            return
        item.backoff = 1.0
        if item.removed:
            self._ask(wire.REMOVE_OBJECT, 0, [(wire.A_OBJID, number)], _ignore)
            return
        item.id = number
        item.type = parts[0].get(wire.A_OBJTYPE, 0)
        self._by_id[number] = item
        for each in list(self._objects) if item.path is None else ():
            if each.kind is item:
                self._register(each)
        if isinstance(item, _Events):
            item.patterns = []
            for listener in list(item.listeners):
                self._register_pattern(listener)
        elif isinstance(item, Subscription):
            self._seek(item)
        if item.on_registered:
            item.on_registered(None)

    def _refused(self, item: "Object", error: "UbusError") -> None:
        if isinstance(item, _Events):
            for listener in list(item.listeners):
                if listener.on_ready:
                    listener.on_ready(error)
        elif isinstance(item, Subscription):
            item.changed(False, error)
        if item.on_registered:
            item.on_registered(error)

    def remove_object(self, item: "Object") -> None:
        item.removed = True
        if item in self._objects:
            self._objects.remove(item)
        if item.id:
            self._by_id.pop(item.id, None)
            self._ask(wire.REMOVE_OBJECT, 0, [(wire.A_OBJID, item.id)], _ignore)
            item.id = 0
        item.has_subscribers = False

    # Other objects.

    def lookup(
        self, pattern: "str | None", callback: "Callable[..., object]", timeout: float = TIMEOUT_DEFAULT
    ) -> None:
        """`callback(error, [Found])`; the pattern is a path, which may end with *, or None for all."""
        body = [] if pattern is None else [(wire.A_OBJPATH, pattern)]
        self._ask(wire.LOOKUP, 0, body, lambda code, parts: _looked_up(code, parts, callback), timeout)

    def invoke(
        self,
        target: "str | int",
        method: str,
        args: "Fields | None",
        callback: "Callable[..., object]",
        timeout: float = TIMEOUT_DEFAULT,
    ) -> None:
        """Calls a method of an object (path or id): `callback(error, reply)`. An answer in parts is joined."""
        data = blob.encode(args or {}, wire.MAX_DATA)
        if isinstance(target, int):
            self._invoke(target, method, data, callback, timeout)
            return
        deadline = compat.monotonic() + timeout

        def found(error: "UbusError | None", objects: "list[Found]") -> None:
            if error:
                callback(error, None)
                return
            self._invoke(objects[0].id, method, data, callback, max(0.0, deadline - compat.monotonic()))

        self.lookup(target, found, timeout)

    def _invoke(self, number: int, method: str, data: bytes, callback: "Callable[..., object]", timeout: float) -> None:
        body = [(wire.A_OBJID, number), (wire.A_METHOD, method), (wire.A_DATA, data)]
        self._ask(wire.INVOKE, number, body, lambda code, parts: _invoked(code, parts, callback), timeout)

    # Events.

    def send_event(self, name: str, data: "Fields", callback: "Callable[..., object] | None" = None) -> bool:
        """Sends an event. With a callback, calls `callback(error, reply)`; without one, the event may be dropped."""
        args = [("id", name), ("data", data if isinstance(data, dict) else blob.Table(data))]
        if callback:
            self.invoke(wire.OBJECT_EVENT, "send", args, callback)
            return True
        body = [(wire.A_OBJID, wire.OBJECT_EVENT), (wire.A_METHOD, "send")]
        body.append((wire.A_DATA, blob.encode(args, wire.MAX_DATA)))
        return self.client_id != 0 and self.post(wire.INVOKE, wire.OBJECT_EVENT, body)

    def listen(
        self, pattern: str, callback: "Callable[..., object]", on_ready: "Callable[..., object] | None" = None
    ) -> "Listener":
        """`callback(name, data)` for each event of others; `on_ready(error)` when ubusd has accepted or refused it."""
        if self._events is None:
            self._events = _Events(self)
            self._add(self._events)
        listener = Listener(self._events, pattern, callback, on_ready)
        self._events.listeners.append(listener)
        if self._events.id:
            self._register_pattern(listener)
        return listener

    def _register_pattern(self, listener: "Listener") -> None:
        def registered(error: "UbusError | None", _: object) -> None:
            if listener.on_ready:
                listener.on_ready(error)

        events = self._events
        if listener.pattern in events.patterns:
            registered(None, None)
            return
        events.patterns.append(listener.pattern)
        # ubusd wants an int32 here, even for numbers that become negative in it.
        args = [("object", blob.Typed(blob.INT32, events.id)), ("pattern", listener.pattern)]
        self.invoke(wire.OBJECT_EVENT, "register", args, registered)

    # Subscriptions.

    def subscribe(
        self, path: str, callback: "Callable[..., object]", on_change: "Callable[..., object] | None" = None
    ) -> "Subscription":
        """`callback(kind, data)` for each notification of a path; `on_change(active, error)` as it comes and goes."""
        subscription = Subscription(self, path, callback, on_change)
        # The listener first: an object that appears after the lookup is not missed.
        subscription.listener = self.listen("ubus.object.add", lambda _, data: self._appeared(subscription, data))
        self._add(subscription)
        return subscription

    def _appeared(self, subscription: "Subscription", data: dict) -> None:
        if data.get("path") == subscription.target_path and subscription.id:
            self._attach(subscription, data.get("id", 0) & 0xFFFFFFFF)

    def _seek(self, subscription: "Subscription") -> None:
        def found(error: "UbusError | None", objects: "list[Found]") -> None:
            if error is None:
                self._attach(subscription, objects[0].id)
            elif error.code not in (NOT_FOUND, CONNECTION_FAILED):
                subscription.changed(False, error)

        self.lookup(subscription.target_path, found)

    def _attach(self, subscription: "Subscription", target: int) -> None:
        def subscribed(code: int, _: object) -> None:
            if code == OK:
                subscription.changed(True)
            elif code not in (NOT_FOUND, CONNECTION_FAILED):
                subscription.changed(False, UbusStatus(code))

        if subscription.id and not subscription.active:
            body = [(wire.A_OBJID, subscription.id), (wire.A_TARGET, target)]
            self._ask(wire.SUBSCRIBE, 0, body, subscribed)


def _ignore(_code: int, _parts: object) -> None:
    pass


def arguments(policy: "Iterable[tuple[str, int]]", given: "dict[str, Any]") -> "dict[str, Any]":
    """The declared ones among the given arguments; raises UbusStatus for one of a wrong type."""
    found = {}
    for name, kind in policy:
        value = given.get(name)
        if value is None:
            continue  # JavaScript sends null for an argument without a value
        if not _fits(kind, value):
            raise UbusStatus(INVALID_ARGUMENT, "%s: not of type %s" % (name, blob.TYPE_NAMES[kind]))
        found[name] = value
    return found


def _fits(kind: int, value: object) -> bool:
    # JSON has only one kind of number, so a width is a range and not an encoding.
    if kind == blob.BOOL or isinstance(value, bool):
        return kind == blob.BOOL and isinstance(value, bool)
    if kind == blob.DOUBLE:
        return isinstance(value, (int, float))
    if kind in (blob.INT16, blob.INT32, blob.INT64):
        limit = {blob.INT16: 1 << 15, blob.INT32: 1 << 31, blob.INT64: 1 << 63}[kind]
        return isinstance(value, int) and -limit <= value < limit
    return isinstance(value, {blob.STRING: str, blob.ARRAY: list, blob.TABLE: dict}[kind])


def _looked_up(code: int, parts: "list[dict[int, Any]]", callback: "Callable[..., object]") -> None:
    if code != OK:
        callback(UbusStatus(code), [])
        return
    found = []
    try:
        for part in parts:
            if wire.A_OBJPATH in part and wire.A_OBJID in part:
                methods = blob.decode(part.get(wire.A_SIGNATURE, b""))
                found.append(Found(part[wire.A_OBJPATH], part[wire.A_OBJID], methods))
    except UbusError as error:
        callback(error, [])
        return
    # An account without any right to an object is not told that it exists.
    callback(None if found else UbusStatus(NOT_FOUND), found)


def _invoked(code: int, parts: "list[dict[int, Any]]", callback: "Callable[..., object]") -> None:
    try:
        reply = _together([blob.decode(part[wire.A_DATA]) for part in parts if wire.A_DATA in part])
    except UbusError as error:
        callback(error, None)
        return
    if code == OK:
        callback(None, reply)
        return
    message = reply.get("message")
    callback(UbusStatus(code, message if isinstance(message, str) else text(code)), reply)


def _together(parts: "list[dict]") -> dict:
    """Joins several tables into one: tables of the same name are merged, and arrays concatenated."""
    if not parts:
        return {}
    joined = parts[0]
    for part in parts[1:]:
        for name in part:
            old, new = joined.get(name), part[name]
            if isinstance(old, dict) and isinstance(new, dict):
                old.update(new)
            elif isinstance(old, list) and isinstance(new, list):
                old.extend(new)
            else:
                joined[name] = new
    return joined

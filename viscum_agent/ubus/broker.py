"""Replaces ubusd where none runs: the same protocol on a socket of our own.

It runs in the agent's loop: poll what `fds()` returns, call `on_event(fd, events)`, and `tick()` when `next_timeout()`
is due. Each call handles a few messages per peer at most; the rest waits until the loop has handled everything else.
Written from ubusd_proto.c, ubusd_obj.c, ubusd_event.c and ubusd_monitor.c of ubus, so that the `ubus` command can't
tell the difference, except:

- Rights depend on the account: root and the agent's own may do everything, others look up and call what `readable`
  lists. (ubusd reads /usr/share/acl.d.)
- An account without rights has a budget of connections, messages and bytes, whatever it asks for and however many
  connections it has. Over budget it is not refused: nothing is read from it until the budget has refilled.
- ubusd silently drops what does not fit into a queue of 1 MiB. Here notifications, events and copies for monitors are
  left out, a caller gets an error if the callee does not read, and a peer that does not read answers is disconnected.
"""

import os
import struct

from .. import compat
from ..errors import ForeignError
from . import blob, monitor, wire
from .account import name_of
from .budget import Budget
from .channel import Channel
from .codes import (
    INVALID_ARGUMENT,
    INVALID_COMMAND,
    METHOD_NOT_FOUND,
    NO_MEMORY,
    NOT_FOUND,
    OK,
    PERMISSION_DENIED,
    UbusError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from typing import Any

    from .wire import Message

BACKLOG = 128
MAX_PEERS = 64
AT_ONCE = 8  # connections accepted, and messages of one peer handled, per turn
# For accounts without rights: connections of all of them, of one; bytes of a message, since arguments of a read method
# are short; messages and bytes that one may send per second, and at once. A connection counts as GREETING messages,
# because accounts are looked up for it. `viscum status` takes four.
MAX_GUESTS = 32
MAX_OF_GUEST = 8
GUEST_MESSAGE = 8192
GUEST_MESSAGES = (50, 200)
GUEST_BYTES = (32 * 1024, 128 * 1024)
GREETING = 2
MAX_OBJECTS = 1024  # of one peer
MAX_RELATIONS = 256  # patterns of one object, or subscriptions
# Bytes that wait for one peer: for what may be left out, for an answer, and for all peers together. For accounts
# without rights, one of them and all, separately from the others: a peer that does not read must not block one that
# does.
NOTIFY_LIMIT = 256 * 1024
QUEUE_LIMIT = 4 * wire.MAX_MESSAGE
TOTAL_LIMIT = 16 * wire.MAX_MESSAGE
GUEST_LIMIT = wire.MAX_MESSAGE + 64 * 1024
GUESTS_LIMIT = 4 * wire.MAX_MESSAGE
ACCEPT_PAUSE = 1.0  # seconds without new connections when no descriptor is left for one

# Instead of a status: the answer comes from somewhere else, or none is due.
_NO_STATUS = -1


class _Peer:
    """A connected peer."""

    def __init__(self, channel: "Channel", number: int, uid: int, gid: int, trusted: bool) -> None:
        self.channel = channel
        self.id = number
        self.uid = uid
        self.trusted = trusted
        self.user = name_of(uid)
        self.group = name_of(gid, "/etc/group")
        self.objects: list[_Object] = []
        self.monitors = False
        self.monitor_seq = 0


class _Object:
    def __init__(self, number: int, peer: "_Peer", path: "str | None", kind: "_Type | None") -> None:
        self.id = number
        self.peer = peer
        self.path = path  # None: found only by its number
        self.kind = kind  # a _Type, or None
        self.subscribers: list[_Object] = []
        self.targets: list[_Object] = []
        self.patterns: list[str] = []
        self.seq = 0  # of messages about its subscriptions


class _Type:
    """Methods that objects share; libubus sends them once."""

    def __init__(self, number: int, methods: "list[tuple[str, bytes]]") -> None:
        self.id = number
        self.methods = methods  # [(name, attribute)]
        self.users = 0


class Broker:
    """`readable` is {object: (method, ...)} for accounts without rights; `log(text)` is called with what went wrong."""

    def __init__(
        self,
        path: str,
        readable: "Mapping[str, Collection[str]] | None" = None,
        log: "Callable[[str], object] | None" = None,
    ) -> None:
        self.path = path
        self.dropped = 0  # notifications, events and copies that did not fit
        self._readable = readable or {}
        self._log = log
        self._listener = -1
        self._inode = 0
        self._paused_until = 0.0
        self._peers: dict[int, _Peer] = {}  # by descriptor
        self._peers_by_id: dict[int, _Peer] = {}
        self._objects: dict[int, _Object] = {}
        self._paths: dict[str, _Object] = {}
        self._types: dict[int, _Type] = {}
        self._event_seq = 0
        self._messages = Budget(*GUEST_MESSAGES)
        self._bytes = Budget(*GUEST_BYTES)
        self._handlers = {
            wire.STATUS: self._response,
            wire.DATA: self._response,
            wire.PING: self._ping,
            wire.LOOKUP: self._lookup,
            wire.INVOKE: self._invoke,
            wire.ADD_OBJECT: self._add_object,
            wire.REMOVE_OBJECT: self._remove_object,
            wire.SUBSCRIBE: self._subscribe,
            wire.UNSUBSCRIBE: self._unsubscribe,
            wire.NOTIFY: self._notify,
        }

    # Interface to the loop.

    def open(self) -> None:
        """Listens. Raises ForeignError if somebody already answers on that socket, and OSError."""
        try:
            compat.fd_close(compat.unix_connect(self.path))
            raise ForeignError("somebody serves ubus on %s already" % self.path)
        except OSError as error:
            if error.errno not in (compat.ENOENT, compat.ECONNREFUSED):
                raise
        _make_directory(self.path)
        try:
            os.unlink(self.path)  # left behind by a killed broker
        except OSError:
            pass
        mask = compat.umask(0o111)  # anybody may connect, as with ubusd; the broker decides what they may do
        try:
            self._listener = compat.unix_listen(self.path, BACKLOG)
        finally:
            compat.umask(mask)
        self._inode = os.stat(self.path)[1]

    def close(self) -> None:
        for peer in list(self._peers.values()):
            peer.channel.close()
        self._peers = {}
        self._peers_by_id = {}
        self._objects = {}
        self._paths = {}
        self._types = {}
        if self._listener < 0:
            return
        compat.fd_close(self._listener)
        self._listener = -1
        try:
            if os.stat(self.path)[1] == self._inode:  # not the socket of a broker that started meanwhile
                os.unlink(self.path)
        except OSError:
            pass

    def fds(self) -> "list[tuple[int, int]]":
        """[(descriptor, events to poll for)]."""
        found = []
        if self._listener >= 0 and compat.monotonic() >= self._paused_until:
            found.append((self._listener, compat.POLLIN))
        for fd in self._peers:
            # Read even while something waits to be sent: a peer that reads only after we have read would wait for ever.
            # A descriptor that is not polled at all can't wake the loop by its hangup either.
            channel = self._peers[fd].channel
            wanted = (compat.POLLIN if self._reads(self._peers[fd]) else 0) | (compat.POLLOUT if channel.queued else 0)
            if wanted:
                found.append((fd, wanted))
        return found

    def _reads(self, peer: "_Peer") -> bool:
        """Whether to read more from a peer: not while a message of it is still to be handled."""
        return not peer.channel.ended and not peer.channel.waiting and not self._rest(peer)

    def _rest(self, peer: "_Peer") -> float:
        """Seconds until a peer's turn, because its account has used up its budget; 0 for now."""
        return 0 if peer.trusted else max(self._messages.wait(peer.uid), self._bytes.wait(peer.uid))

    def next_timeout(self) -> "float | None":
        """When to call `tick` and to check `fds` again, whatever happens: in seconds of compat.monotonic(); None for
        never."""
        now = compat.monotonic()
        dues = [self._paused_until] if self._paused_until > now else []
        for peer in self._peers.values():
            rest = self._rest(peer)
            if rest or peer.channel.waiting:
                dues.append(now + rest)
        return min(dues) if dues else None

    def tick(self) -> None:
        """Handles what was received but not handled yet."""
        for peer in list(self._peers.values()):
            if peer.channel.waiting:
                self._take(peer)
        self._bury()

    def on_event(self, fd: int, events: int) -> None:
        if fd == self._listener:
            self._accept()
            return
        peer = self._peers.get(fd)
        if peer is None:
            return
        if events & ~compat.POLLIN:
            peer.channel.flush()
        if self._reads(peer):
            self._receive(peer)
            self._take(peer)
        self._bury()

    def _receive(self, peer: "_Peer") -> None:
        count = peer.channel.receive()
        if not peer.trusted:
            self._bytes.spend(peer.uid, count)

    # Connections.

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                fd = compat.unix_accept(self._listener)
            except OSError as error:
                self._paused_until = compat.monotonic() + ACCEPT_PAUSE
                self._note("no further connections for now: %s" % compat.strerror(error.errno))
                return
            if fd is None:
                return
            self._welcome(fd)

    def _welcome(self, fd: int) -> None:
        _, uid, gid = compat.unix_peer(fd)
        trusted = uid in (0, compat.geteuid())
        refusal = self._refusal(uid, trusted)
        if refusal:
            compat.fd_close(fd)
            self._note("a connection of account %d was refused: %s" % (uid, refusal))
            return
        if not trusted:
            self._messages.spend(uid, GREETING)
        peer = _Peer(Channel(fd, None if trusted else GUEST_MESSAGE), _new_id(self._peers_by_id), uid, gid, trusted)
        self._peers[fd] = peer
        self._peers_by_id[peer.id] = peer
        self._send(peer, wire.HELLO, 0, peer.id, b"")

    def _refusal(self, uid: int, trusted: bool) -> str:
        """Why a peer may not connect now; "" if it may."""
        if len(self._peers) >= MAX_PEERS:
            return "there are %d already" % len(self._peers)
        if trusted:
            return ""
        guests = [peer.uid for peer in self._peers.values() if not peer.trusted]
        if len(guests) >= MAX_GUESTS:
            return "there are %d of accounts without rights already" % len(guests)
        if guests.count(uid) >= MAX_OF_GUEST:
            return "it has %d already" % MAX_OF_GUEST
        if self._messages.wait(uid):
            return "too many in too short a time"
        return ""

    def _note(self, text: str) -> None:
        if self._log:
            self._log(text)

    def _take(self, peer: "_Peer") -> None:
        for _ in range(AT_ONCE if peer.trusted else 1):
            message = None if self._rest(peer) else peer.channel.next()
            if message is None:
                return
            if not peer.trusted:
                self._messages.spend(peer.uid, 1)
            self._copy(peer, message.kind, message.seq, message.peer, message.body, False)
            self._dispatch(peer, message)

    def _dispatch(self, peer: "_Peer", message: "Message") -> None:
        handler = self._handlers.get(message.kind)
        try:
            status = handler(peer, message, wire.parse(message.body)) if handler else INVALID_COMMAND
        except UbusError as error:
            self._note("a message of client %08x: %s" % (peer.id, error.args[0]))
            status = NO_MEMORY if error.code == NO_MEMORY else INVALID_ARGUMENT
        if status != _NO_STATUS:
            self._send(peer, wire.STATUS, message.seq, message.peer, wire.pack_attributes([(wire.A_STATUS, status)]))

    def _bury(self) -> None:
        """Removes peers whose connection ended. That sends messages, which may end others."""
        while True:
            dead = [peer for peer in self._peers.values() if peer.channel.ended and not self._goes_on(peer)]
            if not dead:
                return
            for peer in dead:
                self._peers.pop(peer.channel.fd)
                self._peers_by_id.pop(peer.id)
                peer.channel.close()
                for item in list(peer.objects):
                    self._free(item)

    def _goes_on(self, peer: "_Peer") -> bool:
        """Whether something of a departed peer is still to be handled, such as an event. A peer that may only ask no
        longer waits for its answer."""
        return peer.trusted and peer.channel.waiting

    # Sending.

    def _send(self, peer: "_Peer", kind: int, seq: int, number: int, body: bytes, optional: bool = False) -> bool:
        """Sends a message. An optional one is left out if it does not fit; any other one ends the connection."""
        self._copy(peer, kind, seq, number, body, True)
        data = wire.pack_body(kind, seq, number, body)
        if self._put(peer, data, NOTIFY_LIMIT if optional else QUEUE_LIMIT):
            return True
        if optional:
            self.dropped += 1
        elif not peer.channel.ended:
            self._note("client %08x does not read: connection ended" % peer.id)
            peer.channel.end("it does not read")
        return False

    def _put(self, peer: "_Peer", data: bytes, limit: int) -> bool:
        if not peer.trusted:
            return self._put_guest(peer, data, limit)
        if peer.channel.queued and self._queued(lambda each: each.trusted) > TOTAL_LIMIT:
            return False
        return peer.channel.send(data, limit)

    def _put_guest(self, peer: "_Peer", data: bytes, limit: int) -> bool:
        mine = self._queued(lambda each: each.uid == peer.uid)
        if mine and (mine + len(data) > GUEST_LIMIT or self._queued(lambda each: not each.trusted) > GUESTS_LIMIT):
            return False
        return peer.channel.send(data, limit)

    def _queued(self, counts: "Callable[[_Peer], bool]") -> int:
        """Bytes that wait for those peers that count."""
        return sum([each.channel.queued for each in self._peers.values() if counts(each)])

    def _copy(self, peer: "_Peer", kind: int, seq: int, number: int, body: bytes, sent: bool) -> None:
        """Sends monitors a copy of every message in either direction."""
        for watcher in self._peers.values():
            if not watcher.monitors:
                continue
            watcher.monitor_seq = (watcher.monitor_seq + 1) & 0xFFFF
            attributes: list[tuple[int, Any]] = [
                (monitor.CLIENT, peer.id),
                (monitor.PEER, number),
                (monitor.SEQ, seq),
                (monitor.TYPE, kind),
            ]
            attributes += [(monitor.SEND, sent), (monitor.DATA, body)]
            try:
                data = monitor.pack(watcher.monitor_seq, attributes)
            except UbusError:  # too large with this wrapper
                self.dropped += 1
                continue
            if not self._put(watcher, data, NOTIFY_LIMIT):
                self.dropped += 1

    def _forward(
        self,
        peer: "_Peer",
        item: "_Object",
        method: str,
        seq: int,
        data: "bytes | None",
        optional: bool,
        no_reply: bool = False,
    ) -> bool:
        """Passes a call of `peer` on to the owner of an object."""
        attributes = [(wire.A_OBJID, item.id), (wire.A_METHOD, method)]
        attributes += [(wire.A_USER, peer.user), (wire.A_GROUP, peer.group)]
        if no_reply:
            attributes.append((wire.A_NO_REPLY, True))
        if data is not None:
            attributes.append((wire.A_DATA, data))
        return self._send(item.peer, wire.INVOKE, seq, peer.id, wire.pack_attributes(attributes), optional)

    # Requests: each returns a status, or _NO_STATUS.

    def _ping(self, peer: "_Peer", message: "Message", _: object) -> int:
        self._send(peer, wire.DATA, message.seq, message.peer, message.body)
        return OK

    def _lookup(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        pattern = attributes.get(wire.A_OBJPATH)
        if pattern == "":
            return INVALID_ARGUMENT
        if pattern is None or pattern.endswith("*"):
            prefix = pattern[:-1] if pattern else ""
            paths = sorted([path for path in self._paths if path.startswith(prefix)])
        else:
            paths = [pattern] if pattern in self._paths else []
        for path in paths:
            self._describe(peer, message, self._paths[path])
        return OK if paths or pattern is None else NOT_FOUND

    def _describe(self, peer: "_Peer", message: "Message", item: "_Object") -> None:
        if item.kind is None:
            return
        methods = [raw for name, raw in item.kind.methods if self._may_call(peer, item, name)]
        if item.kind.methods and not methods:
            return
        attributes: list[tuple[int, Any]] = [
            (wire.A_OBJPATH, item.path),
            (wire.A_OBJID, item.id),
            (wire.A_OBJTYPE, item.kind.id),
        ]
        attributes.append((wire.A_SIGNATURE, b"".join(methods)))
        self._send(peer, wire.DATA, message.seq, message.peer, wire.pack_attributes(attributes))

    def _may_call(self, peer: "_Peer", item: "_Object", method: str) -> bool:
        return peer.trusted or method in self._readable.get(item.path or "", ())

    def _invoke(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        number, method = attributes.get(wire.A_OBJID), attributes.get(wire.A_METHOD)
        if number is None or method is None:
            return INVALID_ARGUMENT
        data = attributes.get(wire.A_DATA)
        if number == wire.OBJECT_EVENT:
            return self._event_call(peer, method, data)
        if number == wire.OBJECT_MONITOR:
            return self._monitor_call(peer, method)
        item = self._objects.get(number)
        if item is None:
            return NOT_FOUND
        if not self._may_call(peer, item, method):
            return PERMISSION_DENIED
        # The callee may be slow without a fault of its own: a full queue is no reason to disconnect it.
        if item.peer.channel.queued > NOTIFY_LIMIT:
            return NO_MEMORY
        self._forward(peer, item, method, message.seq, data, False)
        return _NO_STATUS

    def _response(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        """Returns an answer to the caller."""
        item = self._objects.get(attributes.get(wire.A_OBJID, 0))
        needed = wire.A_STATUS if message.kind == wire.STATUS else wire.A_DATA
        caller = self._peers_by_id.get(message.peer)
        if item and item.peer is peer and caller and needed in attributes:
            self._send(caller, message.kind, message.seq, item.id, message.body)
        return _NO_STATUS

    def _add_object(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        path = attributes.get(wire.A_OBJPATH)
        if not peer.trusted:
            # ubusd refuses the name with the first, and what an object without a name is good for with the second.
            return PERMISSION_DENIED if path is None else INVALID_ARGUMENT
        if path in self._paths or len(peer.objects) >= MAX_OBJECTS:
            return INVALID_ARGUMENT
        kind = self._types.get(attributes.get(wire.A_OBJTYPE, 0))
        if kind is None and wire.A_SIGNATURE in attributes:
            kind = _Type(_new_id(self._types), blob.names(attributes[wire.A_SIGNATURE]))
            self._types[kind.id] = kind
        item = _Object(_new_id(self._objects), peer, path, kind)
        if kind:
            kind.users += 1
        self._objects[item.id] = item
        peer.objects.append(item)
        if path is not None:
            self._paths[path] = item
            self._object_event("ubus.object.add", item)
        answer = [(wire.A_OBJID, item.id)]
        if kind and wire.A_SIGNATURE in attributes:
            answer.append((wire.A_OBJTYPE, kind.id))
        self._send(peer, wire.DATA, message.seq, message.peer, wire.pack_attributes(answer))
        return OK

    def _remove_object(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        item = self._objects.get(attributes.get(wire.A_OBJID, 0))
        if item is None:
            return NOT_FOUND
        if item.peer is not peer:
            return PERMISSION_DENIED
        answer = [(wire.A_OBJID, item.id)]
        if item.kind and item.kind.users == 1:
            answer.append((wire.A_OBJTYPE, item.kind.id))
        self._send(peer, wire.DATA, message.seq, message.peer, wire.pack_attributes(answer))
        self._free(item)
        return OK

    def _free(self, item: "_Object") -> None:
        for target in item.targets:
            target.subscribers.remove(item)
            if not target.subscribers:
                self._tell_subscribed(target)
        for subscriber in list(item.subscribers):
            self._tell_gone(subscriber, item)
        self._objects.pop(item.id)
        item.peer.objects.remove(item)
        if item.path is not None:
            self._object_event("ubus.object.remove", item)
            self._paths.pop(item.path)
        if item.kind:
            item.kind.users -= 1
            if not item.kind.users:
                self._types.pop(item.kind.id)

    # Subscriptions.

    def _own(self, peer: "_Peer", attributes: "dict[int, Any]") -> "tuple[Any, Any]":
        """(the peer's object, the target's number) of a subscription request, or (a status, None)."""
        if wire.A_OBJID not in attributes or wire.A_TARGET not in attributes:
            return INVALID_ARGUMENT, None
        item = self._objects.get(attributes[wire.A_OBJID])
        if item is None:
            return NOT_FOUND, None
        if item.peer is not peer:
            return INVALID_ARGUMENT, None
        return item, attributes[wire.A_TARGET]

    def _subscribe(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        item, number = self._own(peer, attributes)
        if number is None:
            return item
        target = self._objects.get(number)
        if target is None:
            return NOT_FOUND
        if target.peer is peer or len(item.targets) >= MAX_RELATIONS:
            return INVALID_ARGUMENT
        if item not in target.subscribers:
            target.subscribers.append(item)
            item.targets.append(target)
            if len(target.subscribers) == 1:
                self._tell_subscribed(target)
        return OK

    def _unsubscribe(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        item, number = self._own(peer, attributes)
        if number is None:
            return item
        for target in item.targets:
            if target.id == number:
                item.targets.remove(target)
                target.subscribers.remove(item)
                if not target.subscribers:
                    self._tell_subscribed(target)
                return OK
        return NOT_FOUND

    def _tell_subscribed(self, item: "_Object") -> None:
        """Tells the owner whether anybody is subscribed."""
        item.seq = (item.seq + 1) & 0xFFFF
        attributes = [(wire.A_OBJID, item.id), (wire.A_ACTIVE, bool(item.subscribers))]
        self._send(item.peer, wire.NOTIFY, item.seq, 0, wire.pack_attributes(attributes))

    def _tell_gone(self, subscriber: "_Object", item: "_Object") -> None:
        """Tells a subscriber that the object is gone."""
        subscriber.targets.remove(item)
        subscriber.seq = (subscriber.seq + 1) & 0xFFFF
        attributes = [(wire.A_OBJID, subscriber.id), (wire.A_TARGET, item.id)]
        self._send(subscriber.peer, wire.UNSUBSCRIBE, subscriber.seq, 0, wire.pack_attributes(attributes))

    def _notify(self, peer: "_Peer", message: "Message", attributes: "dict[int, Any]") -> int:
        number, method = attributes.get(wire.A_OBJID), attributes.get(wire.A_METHOD)
        if number is None or method is None:
            return INVALID_ARGUMENT
        item = self._objects.get(number)
        if item is None:
            return NOT_FOUND
        if item.peer is not peer:
            return PERMISSION_DENIED
        no_reply = attributes.get(wire.A_NO_REPLY, False)
        subscribers = list(item.subscribers)
        if not no_reply:
            numbers = wire.pack_numbers([subscriber.id for subscriber in subscribers])
            answer = [(wire.A_OBJID, item.id), (wire.A_SUBSCRIBERS, numbers), (wire.A_STATUS, OK)]
            self._send(peer, wire.STATUS, message.seq, message.peer, wire.pack_attributes(answer))
        for subscriber in subscribers:
            self._forward(peer, subscriber, method, message.seq, attributes.get(wire.A_DATA), True, no_reply)
        return _NO_STATUS

    # The broker's own objects.

    def _event_call(self, peer: "_Peer", method: str, data: "bytes | None") -> int:
        if method not in ("register", "send"):
            return INVALID_COMMAND
        if not peer.trusted:
            return PERMISSION_DENIED
        if data is None:
            return INVALID_ARGUMENT
        return self._register(peer, blob.decode(data)) if method == "register" else self._event(peer, data)

    def _register(self, peer: "_Peer", args: dict) -> int:
        pattern, number = args.get("pattern"), args.get("object")
        if not isinstance(pattern, str) or not isinstance(number, int):
            return INVALID_ARGUMENT
        number &= 0xFFFFFFFF
        if number < wire.OBJECT_MAX or not pattern:
            return PERMISSION_DENIED
        item = self._objects.get(number)
        if item is None:
            return NOT_FOUND
        if item.peer is not peer:
            return PERMISSION_DENIED
        if pattern not in item.patterns:
            if len(item.patterns) >= MAX_RELATIONS:
                return NO_MEMORY
            item.patterns.append(pattern)
        return OK

    def _event(self, peer: "_Peer", data: bytes) -> int:
        name, body = _event_fields(data)
        if name is None or body is None:
            return INVALID_ARGUMENT
        if name.startswith("ubus."):
            return PERMISSION_DENIED
        self._send_event(peer, name, body)
        return OK

    def _object_event(self, name: str, item: "_Object") -> None:
        fields = [("id", blob.Typed(blob.INT32, item.id)), ("path", item.path)]
        self._send_event(None, name, blob.encode(fields))

    def _send_event(self, sender: "_Peer | None", name: str, body: bytes) -> None:
        """Once to each object that has a matching pattern, but not to the sender."""
        for item in list(self._objects.values()):
            if item.peer is sender or not _listens(item, name):
                continue
            self._event_seq = (self._event_seq + 1) & 0xFFFF
            attributes = [(wire.A_OBJID, item.id), (wire.A_METHOD, name), (wire.A_DATA, body)]
            self._send(item.peer, wire.INVOKE, self._event_seq, 0, wire.pack_attributes(attributes), True)

    def _monitor_call(self, peer: "_Peer", method: str) -> int:
        if not peer.trusted:
            return PERMISSION_DENIED
        if method not in ("add", "remove"):
            return METHOD_NOT_FOUND
        peer.monitors = method == "add"
        return OK


def _listens(item: "_Object", name: str) -> bool:
    return any(wire.matches(pattern, name) for pattern in item.patterns)


def _event_fields(data: bytes) -> "tuple[str | None, bytes | None]":
    """(name, data as bytes) of an event that is forwarded unchanged; None for what is missing."""
    name = body = None
    for field, raw in blob.names(data):
        kind, payload = blob.payload(raw)
        if field == "id" and kind == blob.STRING:
            name = blob.text(payload[:-1])
        elif field == "data" and kind == blob.TABLE:
            body = payload
    return name, body


def _new_id(taken: "Collection[int]") -> int:
    """Random, as in ubusd: an old number then means nobody, not somebody else."""
    while True:
        number = struct.unpack("I", os.urandom(4))[0]
        if number >= wire.OBJECT_MAX and number not in taken:
            return number


def _make_directory(path: str) -> None:
    directory = path[: path.rfind("/")] if "/" in path[1:] else ""
    if not directory:
        return
    try:
        os.mkdir(directory)
    except OSError:
        pass  # it exists, or listening will report the fault

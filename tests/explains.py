"""What the agent says of packets: those in a file, as JSON lists in the order of packet.Packet.

    INTERPRETER tests/explains.py CONFDIR FILE

Prints [service or "", reasons] for each; of null, which is no IP packet, what is said of none. For both interpreters.
"""

import sys

from viscum_agent.explained import explained
from viscum_agent.plan.packet import Packet
from viscum_agent.reconcile import Reconciler
from viscum_agent.ujson import dumps, loads


def told(values):
    if values is None:
        return None
    values = list(values)
    values[3], values[4], values[11] = bytes.fromhex(values[3]), bytes.fromhex(values[4]), told(values[11])
    return Packet(*values)


def told_of(snapshot, packet):
    if packet is None:
        return ["", ["it is no IP packet"]]
    found = explained(packet, snapshot, {})
    return [found["service"], found["reasons"]]


with open(sys.argv[2]) as file:
    packets = [told(each) for each in loads(file.read())]
with Reconciler(sys.argv[1], loads=False) as reconciler:
    snapshot = reconciler.look()
    print(dumps([told_of(snapshot, each) for each in packets]))

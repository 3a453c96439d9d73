# Attacks whoever lists open ports: 8,000 sockets of UDP, which the kernel lists in no order.
import socket

import stage

stage.open_many(range(10000, 18000), kind=socket.SOCK_DGRAM)

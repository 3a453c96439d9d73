# Attacks whoever lists open ports: 8,000 listening sockets of TCP.
import stage

stage.open_many(range(10000, 18000), backlog=1)

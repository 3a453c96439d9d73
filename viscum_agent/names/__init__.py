"""Which addresses the cloud's names have now, and which clients the names of hosts. Loaded only where a service has
`dest_host`, or a group a host.

message  a question to a resolver and its answer, as bytes
known    what is known of each name, and until when
ask      asks the router's own resolver, in the agent's loop
leases   reads what the router's DHCP servers know of clients
"""

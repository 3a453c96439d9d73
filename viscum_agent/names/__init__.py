"""Which addresses the cloud's names have now. Loaded only where a service has `dest_host`.

message  a question to a resolver and its answer, as bytes
known    what is known of each name, and until when
ask      asks the router's own resolver, in the agent's loop
"""

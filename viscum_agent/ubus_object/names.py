"""What the agent is called on ubus, for the side that serves it (methods) and for callers (cli/agent_calls)."""

OBJECT = "viscum"
EVENT = "viscum.service"  # sent on every change of a service's state

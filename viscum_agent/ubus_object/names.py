"""What the agent is called on ubus: for who serves it (api) and for who asks it (remote)."""

OBJECT = "viscum"
EVENT = "viscum.service"  # sent on every change of a service's state

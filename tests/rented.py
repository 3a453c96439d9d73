"""Tenants of a lab's router, and services as they write them. Their programs need no file of the tests, since a tenant
may name none."""

from agent import QUICK

from viscum_agent.shell import quote

TENANTS = """
config tenant 'acme'
	list device 'lan0'
	list dest '203.0.113.0/24'
	list dest '198.51.100.0/24'
	list dest '192.168.77.1'
	list tcp_port '7000-7100'
	list tcp_port '20-60'
	option rate '10mbit'
	option services '2'

config tenant 'corp'
	list device 'lan0'
	list dest '203.0.113.0/24'
	list tcp_port '7000-7100'

"""
CODE = (
    "import socketserver as s;s.ThreadingTCPServer.allow_reuse_address=True;"
    "s.ThreadingTCPServer(('',%d),type('H',(s.BaseRequestHandler,),"
    "{'handle':lambda h:h.request.recv(99) and h.request.sendall(b'%s here')})).serve_forever()"
)


def rented(name, port, *lines, address="203.0.113.11"):
    """A service as a tenant writes it, within his bounds but for `lines`. Its program answers with his name."""
    words = ["/usr/bin/python3", "-c", CODE % (port, name.split("_")[0])]
    text = ["config service '%s'" % name, "option enabled '1'", "list proto 'tcp'", "list device 'lan0'"]
    text += ["list command " + quote(word) for word in words]
    text += ["list dest_ip '%s'" % address, "list dest_port '%d'" % port, "option rate '1mbit'"]
    return "\n\t".join([*text, *QUICK[1:], *lines]) + "\n\n"


def owned(tenant, text):
    """The same as the owner writes it."""
    return text.replace("option enabled '1'", "option tenant '%s'\n\toption enabled '1'" % tenant)

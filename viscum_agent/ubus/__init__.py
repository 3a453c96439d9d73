"""ubus without libubus: codec, client and broker in Python, because none of its bindings can subscribe, expose its
descriptor or reconnect.

    blob     values to bytes and back: what is inside a message
    wire     messages: headers, attributes, a stream of bytes cut into messages
    channel  a socket with a bounded queue
    client   the agent's client, which never waits
    caller   the command line's client, which does
    broker   replaces ubusd where none runs
    budget   what an account may use
    account  names of accounts
    codes    status codes and errors
"""

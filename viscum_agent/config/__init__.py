"""Reads the configuration: from the text of UCI files to checked records.

    uci      reads a file exactly as libuci does
    trust    refuses a file that anybody but root could have written
    schema   every option: its type, default and help
    service  one section as a record; checks that need two options
    network  the devices of an interface, from /etc/config/network

Nothing here asks the kernel.
"""

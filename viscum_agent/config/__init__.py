"""Configuration in: from the text of UCI files to records that have been checked.

    uci      reads a file exactly as libuci does
    trust    refuses a file that others than root could have written
    schema   every option: its type, default and help
    service  one section as a record; what needs two options to judge
    network  which devices an interface has, by /etc/config/network

Nothing in here asks the kernel.
"""

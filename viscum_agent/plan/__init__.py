"""What there is to do, as plain data: pure functions from the configuration and the facts to kernel objects.

    planner   a service's objects, and what stays with the cloud and why
    answers   which addresses and ports a program answers, and so how it is checked
    actual    what of a dump is ours, and the facts about the router
    diff      what to add, change and remove
    datapath  how a redirect is built: a file for each

apply.py does it.
"""

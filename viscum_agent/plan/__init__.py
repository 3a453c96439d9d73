"""What has to be done, as plain data: pure functions from the configuration and the facts to kernel objects.

    planner   a service's objects, and what stays with the cloud and why: it uses the next four
    sources   the devices that its packets come from, and the families in which clients get replies
    subnets   its addresses from the pool
    claims    that no other service takes the same traffic
    skip      why a service can't be planned
    answers   the addresses and ports on which a program answers, and so how it is checked
    actual    what of a dump is ours, and the facts about the router
    diff      what to add, change and remove
    datapath  how a redirect is built: a file for each

apply.py carries it out.
"""

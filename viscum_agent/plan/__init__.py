"""What there is to do, as plain data: pure functions from the configuration and the facts to kernel objects.

    planner   a service's objects, and what stays with the cloud and why: the road through these four
    sources   which devices its packets come from, and in which families clients get replies
    subnets   which addresses of the pool it gets
    claims    that no other service takes the same traffic
    skip      what is wrong with one that can't be planned
    answers   which addresses and ports a program answers, and so how it is checked
    actual    what of a dump is ours, and the facts about the router
    diff      what to add, change and remove
    datapath  how a redirect is built: a file for each

apply.py does it.
"""

"""What the rooms hand on to each other, as plain data with names, so that a test can write it down.

    objects  the kernel objects of a service, planned or found
    dump     what the kernel said, before anybody decides what is ours
    facts    what the plan has to know about this router

Nothing in here asks the kernel.
"""

"""One service's life: its program, what the checks find, and what becomes of it.

    instance    the state machine
    process     starts, finds and stops the program
    health      one check of it
    inhibitors  why its redirect stays out while it runs
    holdoff     how long one that keeps failing must stay healthy first
    respawn     when a program that ended is restarted
    resets      which services' clients are reset, and when
    sockets     how that is done
    overload    whether the router is overloaded
    output      what the program prints
    asked       what programs answer, asked once, without an agent

The agent wires them together (agent.py).
"""

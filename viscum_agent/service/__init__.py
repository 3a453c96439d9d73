"""One service's life: its program, what the checks find, and what becomes of it.

    instance    the state machine
    process     the program: started, found, ended
    health      one check of it
    inhibitors  why its redirect stays out while it runs
    holdoff     how long one that failed again and again has to stay well
    respawn     when a program that ended is started again
    resets      which services' clients are reset, and when
    sockets     how that is done
    overload    whether the router has too much to do
    output      what the program prints
    asked       what programs answer, asked once, where no agent runs

The agent wires them together (agent.py).
"""

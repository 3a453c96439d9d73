"""One service's life: its program, what the checks find, and what becomes of it.

instance  the state machine
process   the program: started, found, ended
health    one check of it
sockets   resets of its clients' connections
respawn   when a program that ended is started again
holdoff   how long one that failed again and again has to stay well
overload  whether the router has too much to do
output    what it prints
asked     what programs answer, asked once, where no agent runs
"""

"""What the agent is on ubus: the object `viscum` with its methods, and its events.

    methods  what may be called, by whom, and what is answered
    names    what it is called there, for who asks it
    rows     one service as a row of an answer
    preview  what a change of the configuration would do
    kept     an answer that took long to find, kept for a moment

ubus itself is in ubus/.
"""

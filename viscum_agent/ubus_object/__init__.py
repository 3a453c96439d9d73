"""The agent on ubus: the object `viscum` with its methods, and its events.

    methods  what may be called, by whom, and the answers
    names    the names of the object and the event, also for callers
    rows     one service as a row of an answer
    preview  what a change of the configuration would do
    kept     an answer that took long, kept for a moment

ubus itself is in ubus/.
"""

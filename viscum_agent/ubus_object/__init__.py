"""What the agent is on ubus: the object `viscum` with its methods, and its events.

object   the methods, who may call them, and what they answer
names    what it is called there, for who asks it
rows     one service as a row of an answer
preview  what a change of the configuration would do
kept     an answer that took long to find, kept for a moment
"""

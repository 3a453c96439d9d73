"""`viscum`, the command.

    words        what it takes: one table of commands
    verbs        what each of them does
    agent_calls  those that a running agent answers
    table        `viscum status`
    recipes      `viscum recipes` and `viscum add`

The entry point is verbs.main.
"""

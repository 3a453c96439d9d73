"""Runs a part of the agent with only some modules of the standard library, and writes down what it imports.

    INTERPRETER tests/guard.py LOG ALLOWED -m viscum_agent WORD...     the command line
    INTERPRETER tests/guard.py LOG ALLOWED -m viscum_agent.viscumd ... the agent
    INTERPRETER tests/guard.py LOG ALLOWED -i NAME...                  only imports these
    INTERPRETER tests/guard.py LOG ALLOWED -f FILE WORD...             an installed launcher, with its agent

ALLOWED is a list of top-level modules with commas. LOG gets a line for each import: `name` for one that is allowed,
`!name` for one of the standard library that is not, and is refused. CPython has to be started with -I -S, so that there
is nothing yet that could have been imported. Imports nothing but sys itself.

MicroPython has no hook for imports. It finds what is built in and the agent, and no module that is frozen or installed;
LOG gets the modules that it has at the end, those that are built in left out.
"""

import sys

ROOT = __file__.rsplit("/tests/", 1)[0]
MAINS = {"viscum_agent": "viscum_agent.cli.verbs", "viscum_agent.viscumd": "viscum_agent.viscumd"}
LOG, ALLOWED, MODE = sys.argv[1], sys.argv[2].split(","), sys.argv[3]


def note(line):
    with open(LOG, "a") as file:
        file.write(line + "\n")


class Finder:
    """Asked by CPython for each module that is not loaded yet; None means that the next finder is asked."""

    @staticmethod
    def find_spec(name, _path=None, _target=None):
        top = name.split(".")[0]
        if top in ALLOWED or top == "viscum_agent":
            note(name)
            return
        if top not in sys.stdlib_module_names:
            return  # nobody has it: there are no site-packages
        note("!" + name)
        raise ModuleNotFoundError("no module named '%s' here" % name, name=name)


def main():
    if sys.implementation.name == "micropython":
        sys.path[:] = [ROOT]
    else:
        sys.path[:] = [ROOT] + [path for path in sys.path if path != ROOT + "/tests"]
        sys.meta_path.insert(0, Finder)
    if MODE == "-i":
        for name in sys.argv[4:]:
            __import__(name)
        return 0
    if MODE == "-f":
        sys.path.remove(ROOT)
        sys.argv[:] = sys.argv[4:]
        with open(sys.argv[0]) as file:
            exec(file.read(), {"__name__": "__main__"})  # ends by sys.exit
    name = sys.argv[4]
    sys.argv[:] = [name] + sys.argv[5:]
    __import__(MAINS[name])
    code = sys.modules[MAINS[name]].main()
    if sys.implementation.name == "micropython":
        note("\n".join(sys.modules))
    return code


sys.exit(main())

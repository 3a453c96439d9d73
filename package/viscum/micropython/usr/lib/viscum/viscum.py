import sys

# Nothing of ours is elsewhere: at each import of collections, struct or os MicroPython looks through all these folders.
sys.path[1:] = [".frozen"]

from viscum_agent.cli.verbs import main  # noqa: E402

sys.exit(main())

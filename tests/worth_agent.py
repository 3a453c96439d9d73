"""Runs the agent so that it asks the cloud again after a moment, and not after a minute.

INTERPRETER tests/worth_agent.py [tests/without_tcx.py] viscum_agent.viscumd ARGUMENT...
"""

import sys

from viscum_agent import worth

worth.AGAIN, worth.COMPARED = 0.1, 0.5
del sys.argv[0]
if sys.argv[0].endswith("without_tcx.py"):
    import without_tcx  # noqa: F401  # which runs the rest
from viscum_agent.viscumd import main  # noqa: E402

sys.exit(main())

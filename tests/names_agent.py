"""Runs the agent so that it asks for names every other moment, and forgets old addresses after seconds and not after an
hour.

    INTERPRETER tests/names_agent.py [tests/without_tcx.py] viscum_agent.viscumd ARGUMENT...
"""

import os
import sys

from viscum_agent.names import ask, known

known.LEAST = known.NOTHING = known.AGAIN = 0.4
known.GROUP = 0.1
known.GRACE = float(os.getenv("VISCUM_GRACE") or 60)
ask.TIMEOUT = 0.5
del sys.argv[0]
if sys.argv[0].endswith("without_tcx.py"):
    import without_tcx  # noqa: F401  # which runs the rest
from viscum_agent.viscumd import main  # noqa: E402

sys.exit(main())

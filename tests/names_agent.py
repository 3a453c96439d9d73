"""viscumd that asks for names every other moment, and forgets old addresses after seconds and not after an hour."""

import os
import sys

from viscum_agent import viscumd
from viscum_agent.names import ask, known

known.LEAST = known.NOTHING = known.AGAIN = 0.4
known.GROUP = 0.1
known.GRACE = float(os.getenv("VISCUM_GRACE") or 60)
ask.TIMEOUT = 0.5
sys.exit(viscumd.main())

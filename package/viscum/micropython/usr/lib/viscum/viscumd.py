import sys

import start  # noqa: F401  (the agent can be imported then)

from viscum_agent.viscumd import main

sys.exit(main())

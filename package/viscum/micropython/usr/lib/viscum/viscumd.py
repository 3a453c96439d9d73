import sys

from viscum_agent.viscumd import main

sys.exit(main())

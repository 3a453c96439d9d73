import sys

from viscum_agent.cli import main

sys.exit(main())

import sys

from viscum_agent.cli.verbs import main

sys.exit(main())

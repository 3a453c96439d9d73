"""`python -m viscum_agent` and `micropython -m viscum_agent` are the command line."""

import sys

from .cli.verbs import main

sys.exit(main())

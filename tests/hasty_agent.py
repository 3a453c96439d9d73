"""viscumd with a watchdog that waits for seconds and not for minutes."""

import sys

from viscum_agent import viscumd
from viscum_agent.ubus import procd

procd.LIMIT, procd.OFTEN = 3, 1.2  # a check wakes it once a second
sys.exit(viscumd.main())

"""viscumd that calls procd every other second and not every other minute."""

import sys

from viscum_agent import viscumd
from viscum_agent.ubus import procd

procd.OFTEN = 1.5  # a check wakes it once a second
sys.exit(viscumd.main())

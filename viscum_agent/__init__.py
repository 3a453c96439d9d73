"""Viscum: ordinary programs answer cloud traffic right on the router.

The version is the only thing here: importing the package must cost nothing on a router.
"""

__version__ = "0.1.0"

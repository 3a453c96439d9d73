"""Paths on OpenWrt."""

CONFDIR = "/etc/config"
RECIPES = "/usr/share/viscum/recipes"
SOCKET = "/var/run/ubus/ubus.sock"  # UBUS_UNIX_SOCKET in CMakeLists.txt of ubus
ON_TRIAL = "/.viscum.old"  # in the folder of the configuration: see trial.py

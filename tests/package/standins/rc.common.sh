#!/bin/sh
# Stands in for OpenWrt's /etc/rc.common with procd.sh and functions.sh, as far as init scripts of packages use them.
#
# What procd knows is in /tmp/procd: `registered`, `agent` with "running" or "ending", and its watchdog's `mode` and
# `timeout`. Every call is a line in /tmp/calls. Where /tmp/says is, the agent tells procd that many seconds before and
# after procd is given the instance, as it may at any time.
# shellcheck shell=dash disable=SC1090,SC3023,SC3045

initscript=$1
action=$2
shift 2

PROCD=/tmp/procd
mkdir -p $PROCD

call() {
	echo "$*" >>/tmp/calls
}

# No waiting in tests.
sleep() {
	call sleep "$@"
}

procd_lock() {
	flock -n 1000 2>/dev/null && return
	exec 1000>/tmp/lock
	flock 1000
}

procd_open_instance() {
	instance=$1
	params=
}

procd_set_param() {
	call "param $*"
	params="$params$*;"
}

procd_close_instance() {
	opened=1
	agent_speaks
}

agent_speaks() {
	[ ! -f /tmp/says ] || cp /tmp/says $PROCD/timeout
}

procd_has() {
	cat "$PROCD/$1" 2>/dev/null || echo 0
}

procd_add_reload_trigger() {
	for package; do
		call "trigger config.change $package /etc/init.d/viscum reload"
	done
}

set_service() {
	instance=
	opened=
	touch $PROCD/registered
	start_service "$@"
	service_triggers
	call "set ${opened:+$instance}"
	if [ -z "$opened" ]; then
		end_instance
		return
	fi
	[ -f $PROCD/agent ] || call "procd: start"
	[ "$(cat $PROCD/agent 2>/dev/null)" != ending ] || call "procd: start when the old one has ended"
	# As instance_config_changed does up to 2026-02-09, and what a watched instance did to procd.
	[ "$(procd_has mode)" = 0 ] || call "procd: crash"
	[ "$(cat $PROCD/agent 2>/dev/null)" != running ] || {
		[ "$params" = "$(cat $PROCD/params)" ] && [ "$(procd_has timeout)" = 0 ]
	} || call "procd: restart"
	echo 0 >$PROCD/timeout
	echo "$params" >$PROCD/params
	echo running >$PROCD/agent
	agent_speaks
}

end_instance() {
	[ "$(cat $PROCD/agent 2>/dev/null)" = running ] || return 0
	call "procd: TERM"
	echo ending >$PROCD/agent
}

start() {
	set_service "$@"
	! type service_started >/dev/null 2>&1 || service_started
}

stop() {
	procd_lock
	! type stop_service >/dev/null 2>&1 || stop_service "$@"
	call delete
	rm -f $PROCD/registered
	end_instance
	! type service_stopped >/dev/null 2>&1 || service_stopped
}

reload() {
	if type reload_service >/dev/null 2>&1; then
		procd_lock
		reload_service "$@"
	else
		start
	fi
}

restart() {
	stop "$@"
	start "$@"
}

boot() {
	start "$@"
}

shutdown() {
	stop
}

numbers() {
	echo "$START $STOP"
}

enable() {
	ln -sf ../init.d/viscum "/etc/rc.d/S${START}viscum"
	ln -sf ../init.d/viscum "/etc/rc.d/K${STOP}viscum"
}

disable() {
	rm -f /etc/rc.d/S??viscum /etc/rc.d/K??viscum
}

# The configuration, as the tests' parser has read it: /tmp/config has a line `section TYPE NAME` or `value NAME OPTION
# WORD` for each thing; no file is a configuration that can't be read. Like libuci: a package by its name is with what
# `uci set` has staged (/tmp/staged, where there is any), a file by its path without.
config_load() {
	config=/tmp/config
	case $1 in
	viscum) [ ! -f /tmp/staged ] || config=/tmp/staged ;;
	/etc/config/viscum) ;;
	*) return 1 ;;
	esac
	[ -f "$config" ]
}

config_foreach() {
	while read -r kind type name _; do
		[ "$kind $type" != "section $2" ] || "$1" "$name"
	done <"$config"
}

config_get_bool() {
	word=$(sed -n "s/^value $2 $3 //p" "$config")
	case $word in
	1 | on | true | yes | enabled) eval "$1=1" ;;
	0 | off | false | no | disabled) eval "$1=0" ;;
	*) eval "$1=$4" ;;
	esac
}

procd_lock
. "$initscript"
"$action" "$@"

#!/bin/sh
# Stands in for a program, under whose name it is called: a line in /tmp/calls, an answer from /tmp/answers/NAME.
#
# Where /tmp/hold/NAME is, it waits until that is gone, but for what procd is asked.
# shellcheck shell=dash

name=${0##*/}

# `service list` of procd. Whoever asks for an ending instance finds it once more, and then gone; until then the service
# is still known.
list_services() {
	agent=$(cat /tmp/procd/agent 2>/dev/null)
	if [ "$agent" = ending ] && [ -f /tmp/procd/asked ]; then
		rm -f /tmp/procd/asked /tmp/procd/agent
		echo "procd: ended" >>/tmp/calls
		agent=
	fi
	[ "$agent" != ending ] || touch /tmp/procd/asked
	printf '{\n'
	if [ -n "$agent" ]; then
		printf '\t"viscum": {\n\t\t"instances": {\n\t\t\t"agent": {\n\t\t\t\t"running": true,\n'
		[ "$(cat /tmp/procd/mode 2>/dev/null)" != 1 ] ||
			printf '\t\t\t\t"watchdog": {\n\t\t\t\t\t"timeout": %s\n\t\t\t\t}\n' "$(cat /tmp/procd/timeout)"
		printf '\t\t\t}\n\t\t}\n\t}\n'
	elif [ -f /tmp/procd/registered ]; then
		printf '\t"viscum": {\n\t\t\n\t}\n'
	fi
	printf '}\n'
}

if [ "$name $1 $2 $3" = "ubus call service list" ]; then
	list_services
	exit
fi
echo "$name $*" >>/tmp/calls
if [ "$name $1 $2 $3" = "ubus call service watchdog" ]; then
	for key in mode timeout; do
		echo "$4" | sed -n "s/.*\"$key\":\([0-9]*\).*/\1/p" | grep . >/tmp/procd/new && cp /tmp/procd/new /tmp/procd/$key
	done
	printf '{\n\t"mode": %s,\n\t"timeout": %s\n}\n' "$(cat /tmp/procd/mode)" "$(cat /tmp/procd/timeout)"
	exit
fi
while [ -e "/tmp/hold/$name" ]; do sleep 0.02; done
case "$name $*" in
"ubus"*) [ "$(cat /tmp/procd/agent 2>/dev/null)" = running ] || exit 4 ;;
"viscum down") rm -rf /var/run/netns/viscum-* ;;
"logger"*) sed 's/^/log: /' >>/tmp/calls ;;
esac
[ ! -f "/tmp/answers/$name" ] || cat "/tmp/answers/$name"
echo "$name done" >>/tmp/done

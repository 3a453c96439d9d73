#!/bin/sh
# Run by the package feeds' CI on an emulated router: $1 is the package, $2 its version.

case "$1" in
viscum | viscum-cpython) ;;
viscum-doctor)
	viscum doctor --json | grep -F '"interpreter"'
	exit
	;;
viscum-metrics)
	viscum metrics 2>/dev/null | grep -Fx "# EOF"
	exit
	;;
*) exit 0 ;;
esac

viscum --version | grep -Fx "viscum $2" || exit 1
viscumd --version | grep -Fx "viscum $2" || exit 1

# Reads the shipped configuration; as it comes, nothing is wrong with it.
viscum check

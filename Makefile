# Everything a developer types. What a target needs it installs itself (tools/setup.sh), into .venv and .cache, and from
# Debian's packages: so the first run is slow and needs root, and later ones start at once. Tests that touch the kernel
# need root as well.

VENV := .venv
PYTHON := $(VENV)/bin/python
PYTEST := $(PYTHON) -m pytest
# Each test has names, folders and namespaces of its own. Those in namespaces wait most of their time: two for each
# processor.
SIDE_BY_SIDE := --dist worksteal -n auto
WAITING := --dist worksteal -n $(shell expr 2 \* "$$(nproc)")
MICROPYTHON := $(or $(VISCUM_MICROPYTHON),.cache/micropython/micropython)
SETUP := tools/setup.sh

# The agent's files that are not to be imported by MicroPython: the other interpreter's half, what needs a library of
# CPython's, and the one that would start the program.
NOT_IMPORTED := viscum_agent/compat/cpython.py viscum_agent/kernel/pyroute2_backend.py viscum_agent/__main__.py
# What runs on the router names its shell itself: busybox ash is next to dash.
ROUTER_SCRIPTS = $(wildcard files/etc/init.d/* files/etc/hotplug.d/*/* files/etc/uci-defaults/* package/viscum/micropython/usr/*bin/*) \
	package/viscum-collectors/collectd/usr/libexec/collectd/viscum.sh
SHELL_SCRIPTS = $(wildcard tools/*.sh package/*/test.sh fleet/openwisp/router/*) $(shell find tests -name '*.sh') .ci/run $(ROUTER_SCRIPTS)

.DEFAULT_GOAL := help
.PHONY: help setup check test test-cpython test-micropython test-bigendian test-pyroute2 test-browser test-examples \
	test-vm vm test-plates-vm lint format demo demo-plates test-routers test-router chaos bench bench-control \
	bench-datapath bench-rules bench-memory bench-kernel bench-vm bench-cameras bench-modes bombs test-flows test-clients \
	test-metrics test-fleet test-trial fuzz manual picture tox ipk apk clean
.NOTPARALLEL:

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | awk -F'|' '{ printf "  %-18s%s\n", $$1, $$2 }'

setup: ## install all that `make test` needs
	@$(SETUP) venv apt micropython python node browser bigendian pictures prometheus kernel router-arm64

check: lint ## lint, unit and golden tests, for while you work
	@$(SETUP) venv apt micropython node
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit tests/golden

# The guests take half an hour for themselves and share nothing with the others: they run beside them, one after the other,
# and step back a little (nice; not the usual 10, with which a busy machine would leave them no time at all). What they
# printed comes at the end.
test: setup lint ## everything that must pass
	@nice -n 5 $(MAKE) test-vm test-router >.cache/vm/test.txt 2>&1 & guest=$$!; \
	trap 'kill $$guest 2>/dev/null' EXIT; trap 'exit 130' INT TERM; \
	$(MAKE) test-cpython test-micropython test-bigendian test-pyroute2 test-browser test-examples test-metrics || exit; \
	wait $$guest; status=$$?; trap - EXIT; cat .cache/vm/test.txt; exit $$status

# The namespace tests start the agent under both interpreters. Those that flood go first and alone: all namespaces of a
# machine share its tables of neighbours (net.ipv4.neigh.default.gc_thresh3) and its processors' queues.
FLOODS := tests/netns/test_hostile_clients.py
test-cpython: ## unit, golden and namespace tests, run by CPython
	@$(SETUP) venv apt micropython python node
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit tests/golden tests/fuzz tests/package
	$(PYTEST) $(FLOODS)
	$(PYTEST) $(WAITING) tests/netns --ignore $(FLOODS)

# First that each file of the agent is in the shared subset at all: it compiles and loads.
# Then the tests that drive MicroPython themselves belong here, one line each.
test-micropython: ## what also runs under MicroPython
	@$(SETUP) venv apt micropython
	@for file in $$(find viscum_agent -name '*.py' | sort); do \
		case " $(NOT_IMPORTED) " in *" $$file "*) continue ;; esac; \
		module=$$(echo "$$file" | sed -e 's,/__init__\.py$$,,' -e 's,\.py$$,,' -e 's,/,.,g'); \
		MICROPYPATH=.:.frozen $(MICROPYTHON) -c "import $$module" || { echo "MicroPython cannot import $$module"; exit 1; }; \
	done
	@echo "MicroPython imports every module of the agent"

# Emulated: about two minutes.
test-bigendian: ## what holds bytes and the kernel's numbers, on big-endian mips and s390x, each process emulated
	@$(SETUP) venv apt bigendian
	$(PYTEST) $(SIDE_BY_SIDE) tests/bigendian tests/unit/test_numbers.py

test-browser: ## the LuCI application in Chromium, in front of the real agent
	@$(SETUP) venv apt micropython node browser
	VISCUM_NO_SKIP=1 $(PYTEST) tests/browser

# The reader of plates is busy with a processor for each picture that it has.
test-examples: ## the examples: licence plates, by themselves and as a service
	@$(SETUP) venv apt micropython pictures
	$(PYTEST) $(SIDE_BY_SIDE) tests/examples

test-metrics: ## watching many routers: a real Prometheus reads a real agent, alerts, and fills the dashboard
	@$(SETUP) venv apt micropython prometheus
	VISCUM_NO_SKIP=1 $(PYTEST) $(WAITING) tests/metrics

# Not in `test`: minutes, and 400 MB of what the engines are made of.
test-fleet: ## 20 routers in namespaces, steered by Ansible and by OpenWISP's controller
	@$(SETUP) venv apt micropython node browser ansible openwisp
	VISCUM_NO_SKIP=1 $(PYTEST) tests/engines

test-vm: ## what needs a full kernel and Wi-Fi, in a virtual machine
	@$(SETUP) venv kernel pictures
	tests/vm/run.sh
	tests/vm/run.sh --kernel 6.1

vm: test-vm ## the same as test-vm

# test-vm has a few of these pictures: the emulated processor takes seconds for each.
test-plates-vm: ## 100 licence plates with each datapath, their packets counted at each hop, in the virtual machine: half an hour
	@$(SETUP) venv kernel pictures
	tests/vm/run.sh --run env VISCUM_PICTURES=100 pytest -p pytest_timeout -p no:cacheprovider -s tests/examples/test_plates_hops.py

# Two of the six rows that test-routers has for this processor: about three minutes, all six take nine.
test-router: ## the packages on an emulated ARM64 router: one datapath for each interpreter
	@$(SETUP) venv router-arm64
	$(PYTHON) tests/routers/run.py arm64 --only micropython:bpf-cls,cpython:u32

test-routers: ## the same on ARM64, ARM and MIPS; prints the table of docs/routers.md; about an hour on two cores
	@$(SETUP) venv router-arm64 router-armhf router-mipsel
	$(PYTHON) tests/routers/run.py

lint: ## style, types, rooms, shell scripts, the LuCI application
	@$(SETUP) venv apt node
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	shellcheck $(SHELL_SCRIPTS)
	node_modules/.bin/eslint --max-warnings 0 .

format: ## lay the Python files out as lint wants them
	@$(SETUP) venv
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

demo: ## a client, a router and a service in namespaces of this machine
	@$(SETUP) venv apt
	$(PYTHON) demo/demo.py

PAGE :=
demo-plates: ## a camera's licence plates are read in the cloud, on the router, in the cloud; PAGE=1: and a page shows them
	@$(SETUP) venv apt plates
	$(PYTHON) demo/cameras.py $(if $(PAGE),--page)

# BENCH_ARGS, for instance --quick or --json FILE, goes to what is run: for one of the three targets at a time.
bench: bench-control bench-datapath bench-rules ## the three benchmarks below, half an hour: on a machine that does nothing else

bench-control: ## time the control path side by side with ip and tc
	@$(SETUP) venv apt micropython
	$(PYTHON) bench/control.py $(BENCH_ARGS)

bench-datapath: ## what a packet costs on each way to a program
	@$(SETUP) venv apt compiler
	$(PYTHON) bench/datapath.py $(BENCH_ARGS)

bench-rules: ## what a thousand services cost a packet, and what a thousand names do
	@$(SETUP) venv apt compiler
	$(PYTHON) bench/rules.py $(BENCH_ARGS)

bench-cameras: ## licence plates: round trip, bytes up and CPU, in the cloud and on the router: two minutes
	@$(SETUP) venv apt plates
	$(PYTHON) bench/cameras.py $(BENCH_ARGS)

bench-modes: ## what a packet costs the first eBPF program while connections stay with the side that has them: seconds
	@$(SETUP) venv
	unshare --net $(PYTHON) bench/modes.py

bench-memory: ## what the agent holds, whether it grows, whether it sleeps: another half an hour
	@$(SETUP) venv apt micropython
	$(PYTHON) bench/memory.py $(BENCH_ARGS)

bench-kernel: ## what a service costs the kernel's memory, by part
	@$(SETUP) venv apt
	$(PYTHON) bench/kernel.py $(BENCH_ARGS)

# The emulated processor's clock counts instructions here (-icount: one is a nanosecond), so "us" are thousands of them,
# the same in every run. A guest for each datapath: a thousand namespaces are enough for one.
COUNTED := VISCUM_VM_QEMU="-icount shift=0" VISCUM_VM_TIMEOUT=7200 tests/vm/run.sh --run python
bench-vm: ## how many instructions a packet costs with every datapath, and with a thousand services: in the virtual machine
	@$(SETUP) venv kernel compiler
	$(COUNTED) bench/datapath.py --tests in,out,rr,crr --repeat 1 --seconds 0.1 $(BENCH_ARGS)
	for datapath in u32 flower bpf-cls bpf-tcx; do \
		$(COUNTED) bench/rules.py --only $$datapath --counts 1,1000 --names "" --repeat 1 --seconds 0.05 $(BENCH_ARGS) || exit; \
	done

bombs: ## how long other services' clients wait beside a fork bomb and a memory bomb: in the virtual machine
	@$(SETUP) venv kernel
	tests/vm/run.sh --run python tests/vm/bombs.py

SECONDS := 120
SEED :=
chaos: ## everything goes wrong for SECONDS=120, with SEED=..., while a client asks on
	@$(SETUP) venv apt micropython
	$(PYTHON) tests/chaos.py $(SECONDS) "$(SEED)"

ROUNDS := 100
test-flows: ## 100 open connections through ROUNDS=100 of all that comes between them, and the tests of flows: a quarter of an hour
	@$(SETUP) venv apt micropython
	$(PYTHON) tests/rounds.py $(ROUNDS)
	$(PYTEST) $(WAITING) tests/netns/test_flows.py

test-clients: ## clients that send what no honest one does, with each way to attach a program, and for longer: ten minutes
	@$(SETUP) venv apt micropython
	VISCUM_FLOOD=5 $(PYTEST) tests/netns/test_hostile_clients.py

test-trial: ## a configuration on trial, killed at each step, and 1,000 bad ones: ten minutes
	@$(SETUP) venv apt micropython
	VISCUM_TRIAL=1 $(PYTEST) tests/netns/test_trial.py

MINUTES := 5
READERS :=
fuzz: ## MINUTES=5 of inputs for each reader of files, messages and packets, or for those in READERS=...
	@$(SETUP) venv micropython fuzz
	$(PYTHON) tests/fuzz/run.py $(MINUTES) $(READERS)

manual: ## write what is made from the agent's tables and imports: docs/manual.md, docs/rooms.svg, types, the LuCI form's options, access lists, metrics, OpenWISP's form
	@$(SETUP) venv
	$(PYTHON) tools/manual.py
	$(PYTHON) tools/option_types.py
	$(PYTHON) tools/ebpf_names.py
	$(PYTHON) tools/luci_options.py
	$(PYTHON) tools/ubus_rights.py
	$(PYTHON) tools/metrics.py
	$(PYTHON) tools/openwisp.py
	$(PYTHON) tools/rooms.py

picture: ## draw docs/demo.svg from a run of the demo
	@$(SETUP) venv apt
	$(PYTHON) demo/demo.py --colour | $(PYTHON) demo/picture.py >docs/demo.svg

# The newest pyroute2 is in .venv, where test-cpython has run the same tests.
test-pyroute2: ## the back ends' tests with the pyroute2 of the released OpenWrt feeds
	@$(SETUP) venv apt micropython
	$(VENV)/bin/tox run -e py311-pyroute2_079

tox: ## the second netlink back end against the oldest and newest pyroute2
	@$(SETUP) venv apt micropython
	$(VENV)/bin/tox run

ipk: ## packages for OpenWrt 24.10 in dist/, made without its SDK
	@$(SETUP) venv
	$(PYTHON) tools/package ipk

apk: ## packages for OpenWrt 25.12 in dist/, made without its SDK
	@$(SETUP) venv
	$(PYTHON) tools/package apk

clean: ## remove all that was made here; Debian packages stay
	rm -rf .venv .cache .tox node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis viscum.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

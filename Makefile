# The face of the project: `make help` lists what there is to type.
#
# Any target works as the first command on a fresh Debian 12 or 13 machine, as root or with sudo:
# what is missing is installed first (tools/setup.sh), and what is installed costs no time.

# The interpreter .venv is made from.
PYTHON ?= /usr/bin/python3
# What `make up` serves, and where.  IMAGE is QEMU's backing file: compare it with /scheme.
IMAGE ?= build/nvme.img
MOUNT ?= /scheme
UP_ARGS ?= --lab nvme:file=$(IMAGE),serial=RB01 --mount $(MOUNT)
# For instance PYTEST_ARGS='-x -k journal'.
PYTEST_ARGS ?=
# CHECK=--check looks whether docs/STATUS.md is what `make status` would write.
CHECK ?=
# FUZZ=1 gives every parser 200,000 damaged inputs among the unit tests, as `make fuzz` does alone.
FUZZ ?=
# For instance BENCH_ARGS='--only host --json build/bench.json'.
BENCH_ARGS ?=

# Mounting, claiming devices and booting the labs need root; nothing else here does.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN  := .venv/bin
RUN  := $(SUDO) $(BIN)/redbear-host

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup up down test lab-test unit-test vm-test status libredox lint format bench clean gate fuzz

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## install what is missing: Debian packages, and Python ones in .venv
	@PYTHON=$(PYTHON) sh tools/setup.sh

up: setup $(IMAGE)  ## start the lab's NVMe disk, mount /scheme and show what is served
	@$(RUN) up --detach $(UP_ARGS)

down: setup  ## end what `make up` started
	@$(RUN) down

$(IMAGE):
	@sh tools/lab_disk.sh $@

# The labs first, by themselves, since much in them has its time; then what needs no device beside the
# guest, which keeps one processor busy.  What is said beside it is printed when both have ended.
test: setup  ## every test: the labs on this host, then the Linux guest and what needs no device
	@lab=0; unit=0; vm=0; mkdir -p build/results; \
	$(MAKE) --no-print-directory lab-test || lab=$$?; \
	$(MAKE) --no-print-directory unit-test >build/results/unit.log 2>&1 & \
	$(MAKE) --no-print-directory vm-test || vm=$$?; \
	wait $$! || unit=$$?; \
	cat build/results/unit.log; \
	[ $$lab = 0 ] || echo "make test: the labs' tests failed ($$lab)" >&2; \
	[ $$unit = 0 ] || echo "make test: the tests without devices failed ($$unit)" >&2; \
	[ $$vm = 0 ] || echo "make test: the tests in the guest failed ($$vm)" >&2; \
	[ $$lab = 0 ] && [ $$unit = 0 ] && [ $$vm = 0 ]

lab-test: setup  ## contract and lab tests: QEMU's devices, daemons, file systems, networks
	@$(SUDO) env CI=$(CI) $(BIN)/python -m pytest --junitxml=build/results/lab.xml tests/contract tests/lab $(PYTEST_ARGS)

unit-test: setup  ## unit, type and model tests, which need no device; FUZZ=1 as long as `make fuzz`
	@$(SUDO) env CI=$(CI) REDBEAR_FUZZ=$(FUZZ) $(BIN)/python -m pytest --junitxml=build/results/unit.xml tests/unit tests/types tests/model $(PYTEST_ARGS)

vm-test: setup  ## tests/vm inside the guest: real vfio-pci, kernel drivers as rivals
	@mkdir -p build/results
	@$(RUN) lab vm --timeout 2400 --device nvme --device ahci --device slot --device lan --device e1000e --device keyboard --device tablet --device hda --device gpu --device bochs --device qxl --exchange build/results -- env CI=$(CI) $(BIN)/python -m pytest -p no:cacheprovider \
	  --junitxml=/run/exchange/vm.xml tests/vm $(PYTEST_ARGS)

status: setup  ## make docs/STATUS.md from what the last `make test` saw
	@$(BIN)/python tools/status.py $(CHECK) build/results/lab.xml build/results/unit.xml build/results/vm.xml

libredox: setup  ## the C libraries: build/libredox.so (libredox/redox.h), build/liborbital.so (liborbital/orbital.h)
	@$(MAKE) --no-print-directory -C libredox BUILD=../build
	@$(MAKE) --no-print-directory -C liborbital BUILD=../build

lint: setup  ## style, types, storeys and file sizes
	@bad=0; \
	for check in 'ruff check .' 'ruff format --check .' mypy lint-imports; do \
	  echo "lint: $$check"; $(BIN)/$$check || bad=1; \
	done; \
	echo 'lint: file sizes'; sh tools/check_size.sh || bad=1; \
	exit $$bad

format: setup  ## let ruff set the code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup  ## measure scheme and driver, and the kernel's driver beside them in the guest
	@$(BIN)/python benchmarks/disk_scheme.py
	@$(BIN)/python benchmarks/ring.py
	@$(BIN)/python benchmarks/compositor.py
	@$(SUDO) $(BIN)/python benchmarks/fuse_doors.py --instructions
	@$(SUDO) $(BIN)/python benchmarks/everyday.py
	@$(SUDO) $(BIN)/python benchmarks/files.py
	@$(SUDO) $(BIN)/python benchmarks/displays.py
	@$(SUDO) $(BIN)/python benchmarks/files.py --device ahci
	@$(SUDO) $(BIN)/python benchmarks/run.py $(BENCH_ARGS)
	@$(SUDO) $(BIN)/python benchmarks/network.py
	@$(SUDO) $(BIN)/python benchmarks/vnc.py

gate: setup  ## count the instructions of a file's operations in the guest; fail if there are more
	@$(SUDO) $(BIN)/python benchmarks/fuse_doors.py --gate

fuzz: setup  ## give every parser 200,000 damaged inputs
	@REDBEAR_FUZZ=1 $(BIN)/python -m pytest -q -m fuzz tests/unit $(PYTEST_ARGS)

clean:  ## remove what the other targets made, .venv included
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# SPDX-License-Identifier: Apache-2.0
# Everything a fresh machine needs: Python 3.11 (or 3.10 to 3.13), gcc and a package index.
#   make install                 what the node needs, and nothing more, into .venv
#   make demo [PAIRS=folder]     simulated rig or image pairs -> node -> pictures, a report and a latency table
#   make test [JOBS=1]           ruff, mypy and the tests
#   make quick                   the tests that need neither DDS nor an engine, in less than a minute
#   make parity VECTORS=folder   the network against recorded outputs of the authors' network
#   make weights-report [DATA=folder]  figures of the shipped weights on held-out scenes, CamVid, RoadScene, MSRS
#   make bench [ARGS=...]        how fast the network runs on this machine
#   make gpu-check [GPU_PYTHON=python3]  parity, times and memory on a GPU, in eight minutes
#   make soak [MINUTES=10]       rig and node for minutes, with the node's memory and PASS or FAIL
#   make docs                    the documentation as a site, in out/site
#   make overhead                what the node costs beside its engine
#   make floors                  the tests that need no engine, with the OpenCV, NumPy and rich of Ubuntu 22.04

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
OUT ?= out
# A sourced ROS 2 install brings rclpy itself: the venv then looks through to it, and no ROS wheels are installed.
VENV_FLAGS := $(if $(ROS_DISTRO),--system-site-packages,)

FLOORS_PYTHON ?= python3.10
NEEDS_TORCH := --deselect test/stream/test_processing.py::test_the_confidence_of_weights_that_nobody_calibrated_is_halved
BIN := $(VENV)/bin
# What the node needs, and what tests and measurements need besides.
RUNTIME := $(VENV)/.segmif_ros-runtime
STAMP := $(VENV)/.segmif_ros-installed
SOURCES := setup.py pyproject.toml package.xml CMakeLists.txt cmake/executables.txt requirements/constraints.txt $(wildcard msg/*.msg)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements/constraints.txt --editable
# The venv is the ament prefix of the ROS wheels.
RUN := $(if $(ROS_DISTRO),,AMENT_PREFIX_PATH=$(abspath $(VENV))) $(BIN)/python

.PHONY: install demo test quick lint parity weights-report bench soak overhead floors gpu-check params docs clean

install: $(RUNTIME)

demo: $(RUNTIME)
	$(RUN) -m segmif_ros.cli demo --out $(OUT)/demo $(if $(PAIRS),--pairs "$(PAIRS)") $(ARGS)

# One process for each row of test/suites.txt; ARGS run pytest with these arguments alone.
test: lint
	@echo "The tests take 10 to 15 minutes on two idle cores; make quick takes one."
	$(RUN) $(if $(ARGS),-m pytest $(ARGS),test/run_suites.py --jobs $(or $(JOBS),2))

quick: $(STAMP)
	$(RUN) test/run_suites.py --quick --jobs $(or $(JOBS),2) -- -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

parity: $(STAMP)
	@test -n "$(VECTORS)" || { echo "make parity: say where the vectors are: make parity VECTORS=<folder>" >&2; exit 2; }
	$(RUN) -m segmif_ros.cli parity "$(VECTORS)" $(ARGS)

weights-report: $(STAMP)
	$(RUN) -m segmif_ros.cli weights-report --out $(OUT)/weights $(if $(DATA),--data "$(DATA)") $(ARGS)

bench: $(STAMP)
	$(RUN) -m segmif_ros.cli bench $(ARGS)

# GPU_PYTHON=python3 takes that Python as it is, such as a machine's own torch with CUDA, and installs nothing
gpu-check: $(if $(GPU_PYTHON),,$(STAMP))
	$(if $(GPU_PYTHON),PYTHONPATH=. $(GPU_PYTHON),$(RUN)) -m segmif_ros.cli gpu-check --out $(OUT)/gpu-check $(ARGS)

soak: $(STAMP)
	$(RUN) -m segmif_ros.trials.soak --minutes $(or $(MINUTES),10) $(ARGS)

overhead: $(STAMP)
	$(RUN) -m segmif_ros.trials.overhead $(ARGS)

# The oldest versions that are promised, in a venv of their own: only Python 3.10 has wheels of them. Without torch, which
# has no such floor: the tests of bags run too where FLOORS_TORCH=1 brings it (several GB from an index of CUDA builds).
floors:
	@$(FLOORS_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null || { \
	  echo "make floors: Python 3.10 is needed: name one, as in make floors FLOORS_PYTHON=/usr/bin/python3.10" >&2; exit 2; }
	test -x $(VENV)-floors/bin/pytest || $(FLOORS_PYTHON) -m venv $(VENV)-floors
	$(VENV)-floors/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements/floors.txt \
	  $(if $(FLOORS_TORCH),torch safetensors)
	PYTHONPATH=$(CURDIR) $(VENV)-floors/bin/python -m pytest -p no:cacheprovider test/imaging test/rig test/stream \
	  test/test_yaml_file.py test/test_paths.py test/test_labels.py $(if $(FLOORS_TORCH),test/bag,$(NEEDS_TORCH)) $(ARGS)

# config/segmif.yaml and the README's table are written from the one parameter table in the code
params: $(STAMP)
	$(RUN) -m segmif_ros.training.recipe_page
	$(RUN) -m segmif_ros.cli parameters --write

# a venv of its own: the generator has nothing to do with the package
docs:
	test -x $(VENV)-docs/bin/mkdocs || $(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements/docs.txt
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --quiet
	@echo "open $(OUT)/site/index.html"

$(RUNTIME): $(SOURCES) | $(BIN)/python
	@echo "Installing torch, OpenCV, the ROS 2 wheels and the package into $(VENV): 1 to 4 minutes, about 1.5 GB on disk"
	@echo "(several GB where the package index serves a CUDA build of torch)."
	@date +%s > $@.began
	$(PIP_INSTALL) .
	@echo "installed in $$(( $$(date +%s) - $$(cat $@.began) )) s" && rm $@.began
	touch $@

$(STAMP): $(SOURCES) | $(BIN)/python
	@echo "Installing the package with all that its tests need into $(VENV): 2 to 5 minutes, about 2 GB on disk."
	$(PIP_INSTALL) ".[dev]"
	touch $(RUNTIME) $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "make: Python 3.10 to 3.13 is needed, and $(PYTHON) is $$($(PYTHON) --version): name another, as in make demo PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV_FLAGS) $(VENV)

clean:
	rm -rf build install log $(OUT) segmif_ros/msg segmif_ros/*.so *.egg-info

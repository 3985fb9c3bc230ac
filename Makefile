# From a fresh clone: `make demo`, `make test`. What is installed goes into .venv, what is built into build and dist.
# Needs python3 (3.11 or newer) with its headers, a C++17 compiler and make; the rest comes from pip.

PYTHON ?= python3
# CI sets `--build-constraint build-constraints.txt` instead: built as `pip install .` does, in an environment of its own,
# from scratch.
BUILD_FLAGS ?= --no-build-isolation
PYTEST_FLAGS ?=
# Processes that share the files of tests: many tests wait, for itk to be imported or for one thread. Each wants some GiB.
PYTEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src cmake ParameterMaps tests/cpp -type f -not -name '*.pyc' 2>/dev/null) \
           CMakeLists.txt pyproject.toml README.md LICENSE
CXX_FILES = $(shell find src tests -name '*.h' -o -name '*.hxx' -o -name '*.cpp' -o -name '*.cxx')

export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What CMake is told besides. Tests want the module of tests/cpp, which is in no wheel; it is built with the wheel, and
# installed beside it.
CMAKE_DEFINES ?=
export SKBUILD_CMAKE_DEFINE := IMPACT_TESTS=ON$(if $(CMAKE_DEFINES),;$(CMAKE_DEFINES))

.PHONY: help doctest pretended venv lock wheel release-wheel release-wheels matrix matrix-pair aarch64 check-wheel reproducible sdist-check install demo test browser docs pictures screenshots validation evidence bench fuzz sanitize long-runs lint format clean
.DELETE_ON_ERROR:

help:
	@echo "make demo     register the lung CT pair of elastix's test data; results in out/demo"
	@echo "make test     build the wheel, try it in a clean environment, run the tests"
	@echo "make pretended  what runs on a GPU, on a pretended one; make test does it, too"
	@echo "make docs     make the documentation site, into build/site"
	@echo "make pictures draw its pictures anew, from real data, into docs/images"
	@echo "make validation  measure derivatives and landmark errors anew, into docs/validation.md"
	@echo "make evidence many real pairs beside what people use, into docs/evidence.md: hours; QUICK=1: ten minutes"
	@echo "make bench    measure speed and memory beside elastix's own component, into docs/performance.md"
	@echo "make screenshots  make the pictures of docs/seeing.md anew"
	@echo "make sanitize the tests on a build with AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz     changed parameter files for the parser, FUZZ_SECONDS=600"
	@echo "make long-runs  200 registrations in one process"
	@echo "make lint     ruff, mypy, clang-format, the order of includes and imports, codespell"
	@echo "make format   apply ruff and clang-format"
	@echo "make install  build the wheel and install it in $(VENV)"
	@echo "make release-wheel  one wheel for every torch and itk-elastix; make matrix  try it with each of them"
	@echo "make aarch64  compile everything for aarch64, and run the C++ unit tests in an emulator"
	@echo "make check-wheel, reproducible, sdist-check, lock   docs/build.md, The wheel"
	@echo "make clean    remove what was built and $(VENV)"

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) || $(PYTHON) -m virtualenv $(VENV) || { rm -rf $(VENV); echo \
	  "$(PYTHON) cannot make virtual environments: install python3-venv (apt) or virtualenv (pip), or set PYTHON."; \
	  exit 1; }

# pip reads dependency groups from 25.1 on. The lock fits Python 3.11 on x86-64; other Pythons take what fits pyproject.toml.
# torch, and what only some builds of it want, comes without checksum, pinned by constraints.txt: which build of it fits
# depends on the machine.
$(VENV)/requirements.stamp: pyproject.toml constraints.txt dev-lock.txt | $(BIN)/python
	$(BIN)/pip install --quiet --upgrade "pip>=25.1"
	@case "$$($(BIN)/python -c 'import sys, platform; print(*sys.version_info[:2], platform.machine())')" in \
	  "3 11 x86_64") set -ex; $(BIN)/pip install --quiet --no-deps --require-hashes -r dev-lock.txt; \
	    $(BIN)/pip install --quiet torch ;; \
	  *) echo "dev-lock.txt is for Python 3.11 on x86-64: without it"; $(BIN)/pip install --quiet --group dev ;; \
	esac
	@touch $@

# Anew what fits pyproject.toml and constraints.txt. Names no index; what depends on the build of torch is left out. For
# isolated builds versions alone: where one of their constraints has a checksum, pip wants one for all, torch included.
LOCK := $(BIN)/uv pip compile --quiet --constraints constraints.txt --python-version 3.11 \
  --python-platform x86_64-manylinux_2_28 --no-header --no-annotate --no-emit-index-url
lock: venv
	$(BIN)/pip install --quiet uv
	@echo "# Made by make lock, for Python 3.11 on x86-64 Linux: the development environment without torch." > dev-lock.new
	$(LOCK) --group dev --generate-hashes pyproject.toml \
	  | awk '/^[a-z]/ { keep = !/^(torch==|triton==|nvidia-|cuda-)/ } keep' >> dev-lock.new
	@echo "# Made by make lock, for Python 3.11 on x86-64 Linux: what isolated builds in CI are made with." > build-constraints.new
	$(LOCK) --group build --constraints dev-lock.new \
	  | awk '/^[a-z]/ && !/^(triton==|nvidia-|cuda-)/ { sub(/\+.*/, ""); print }' >> build-constraints.new
	mv dev-lock.new dev-lock.txt
	mv build-constraints.new build-constraints.txt

# The C++ unit tests want its header. Where apt may install it, it does; elsewhere they are not built, and tests/test_units.py fails.
doctest:
	@[ -e /usr/include/doctest/doctest.h ] || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends doctest-dev >/dev/null; \
	  else echo "No doctest: the C++ unit tests are not built. Install it: apt-get install doctest-dev"; fi

dist/wheel.stamp: $(SOURCES) $(VENV)/requirements.stamp | doctest
	@mkdir -p dist && rm -f dist/*.whl
	$(BIN)/pip wheel --verbose --no-deps $(BUILD_FLAGS) --wheel-dir dist .
	@touch $@

$(VENV)/installed.stamp: dist/wheel.stamp
	$(BIN)/pip install --quiet --no-deps --force-reinstall dist/*.whl
	$(BIN)/cmake --install "$$(ls -td build/cp*-linux_x86_64 | head -1)" --component testing \
	  --prefix "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" > /dev/null
	@touch $@

venv: $(VENV)/requirements.stamp
wheel: dist/wheel.stamp

check-wheel: wheel
	$(BIN)/python cmake/check_wheel.py dist/*.whl

# Each compiles everything anew, without a compiler cache: some five minutes of two cores per build.
reproducible: venv
	tests/run_reproducible.sh $(CURDIR)/$(BIN)/python
sdist-check: venv
	tests/run_sdist.sh $(CURDIR)/$(BIN)/python

# One wheel for every torch and every itk-elastix that fits (versions.json), some half an hour of two cores; then that it is
# sound, and its name the platform that it fits. Torches that are not installed are downloaded, a gigabyte each, and of each
# the headers and libraries to link kept in the cache. For another Python: PYTHON=python3.13 VENV=.venv-3.13; for each that the
# machine has, release-wheels: what is of no Python is compiled once.
FITTING = $(BIN)/python cmake/supported_versions.py
OF_PYTHON = $$($(BIN)/python -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
release-wheel: venv
	mkdir -p dist/release && rm -f dist/release/*-$(OF_PYTHON)-*.whl
	IMPACT_TORCH_KEPT=1 IMPACT_TORCH_SERIES="$$($(FITTING) torch)" IMPACT_HOSTS="$$($(FITTING) hosts)" \
	  $(BIN)/pip wheel --verbose --no-deps --no-build-isolation -C build-dir=build/release --wheel-dir dist/release .
	$(BIN)/python cmake/check_wheel.py --tag --largest 12e6 dist/release/*-$(OF_PYTHON)-*.whl
	$(BIN)/cmake --install build/release --component testing --prefix dist/testing > /dev/null

PYTHONS ?= python3.11 python3.12 python3.13
release-wheels:
	@set -e; for python in $(PYTHONS); do \
	  if version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then \
	    $(MAKE) release-wheel PYTHON=$$python VENV=.venv-$$version; \
	  else echo "$$python: not on this machine"; fi; done

# That wheel in fresh environments: each torch with the last itk-elastix, each itk-elastix with the last torch. Some 7 GB
# at a time and five minutes a pair. Others: PAIRS="2.8,0.25.3 2.15,0.25.4".
PAIRS ?= $(shell $(FITTING) pairs)
matrix:
	PYTHONPATH=cmake $(BIN)/python tests/run_matrix.py dist/release/*-$(OF_PYTHON)-*.whl dist/testing $(PAIRS)

# One pair of it, with the wheel that make test tries, where that was built for that torch, too: CI's.
PAIR ?= 2.15,0.25.4
matrix-pair: install
	PYTHONPATH=cmake $(BIN)/python tests/run_matrix.py --quick dist/*.whl \
	  "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')" $(PAIR)

# Everything compiled for aarch64, and the C++ unit tests in an emulator: ten minutes.
aarch64: venv doctest
	tests/run_aarch64.sh $(CURDIR)/$(BIN)/python

install: $(VENV)/installed.stamp

demo: install
	data="$$($(BIN)/python cmake/obtain_sources.py --print-data)" && \
	  $(BIN)/impact-plugin demo --data "$$data" --out out/demo

docs: install
	rm -rf build/site
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -d build/site-cache docs build/site
	@echo "build/site/index.html"

pictures: install
	OMP_WAIT_POLICY=passive $(BIN)/python docs/pictures/make_pictures.py

# Reports are tried in a headless Chromium. Where there is none and apt may install it, it does; elsewhere those tests
# are skipped with that reason, or fail with IMPACT_REQUIRE_BROWSER=1, which CI sets.
browser:
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	  else echo "No Chromium: tests of pages are skipped. Install it: apt-get install chromium"; fi

test: install check-wheel browser
	tests/run_clean_install.sh dist/*.whl
	$(BIN)/pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_FLAGS)
	$(MAKE) pretended

# What runs on a GPU, on a device that is none: docs/gpu.md. In processes of their own, since torch has one such device.
PRETENDED_TESTS ?= $(addprefix tests/test_,pretended_device.py gpu.py device_path.py gradients.py gradients_models.py)
pretended: install
	IMPACT_PRETENDED_DEVICE=1 $(BIN)/pytest -n $(PYTEST_WORKERS) $(PRETENDED_TESTS)

# The pictures of docs/seeing.md, from the lung CT pair of elastix's test data.
screenshots: install browser
	data="$$($(BIN)/python cmake/obtain_sources.py --print-data)" && \
	  $(BIN)/python docs/screenshots.py "$$data" docs/images

# Half an hour of registrations; what was done before is not done again.
validation: install
	data="$$($(BIN)/python cmake/obtain_sources.py --print-data)" && \
	  OMP_WAIT_POLICY=passive $(BIN)/python benchmarks/validation.py "$$data"

# Our default beside other programs on many real pairs: hours, QUICK=1 some ten minutes of two quiet cores; what was done
# before is not done again. Other programs are installed into out/evidence/env. DATA: the folder of the data, by default
# ../shared/data. Options: EVIDENCE_FLAGS="--pairs REGEX", --methods A,B, --seeds 1,2, --split choose, --fitted NAME=FILE.
EVIDENCE_FLAGS ?=
evidence: install
	data="$$($(BIN)/python cmake/obtain_sources.py --print-data)" && IMPACT_ELASTIX_SOURCE_DIR="$${data%/Testing}" \
	  $(BIN)/python benchmarks/evidence/run.py $(if $(DATA),--data $(DATA)) $(if $(QUICK),--quick) $(EVIDENCE_FLAGS)

# The metric: an hour of registrations, and up to 17 GB of memory; what was done before is not done again. Options:
# BENCH_FLAGS="--quick", --only REGEX, --again, --threads N, --repeats N. Then whole registrations beside other programs, two
# hours: WHOLE_FLAGS="--only REGEX", --methods A,B, --repeats N, --write-docs.
BENCH_FLAGS ?= --write-docs
WHOLE_FLAGS ?= --write-docs
bench: install
	data="$$($(BIN)/python cmake/obtain_sources.py --print-data)" && \
	  $(BIN)/python benchmarks/bench.py "$$data" $(BENCH_FLAGS)
	data="$$($(BIN)/python cmake/obtain_sources.py --print-data)" && IMPACT_ELASTIX_SOURCE_DIR="$${data%/Testing}" \
	  $(BIN)/python benchmarks/whole_runs.py $(WHOLE_FLAGS)

# What needs a clean installation or takes long without saying more is left out.
SANITIZE_TESTS ?= $(addprefix tests/test_,$(addsuffix .py,core chains settings gradients gradients_models \
  static_and_patches wrong_values bad_input sizes doubtful_parameters patch_field geometry metric_parameters feature_cache mutual_information mind \
  feature_map_files feature_updates features_aside half_precision_maps check registration out_of_memory hostile_images \
  hostile_models leaks))
sanitize: install
	tests/run_sanitized.sh $(SANITIZE_TESTS) $(PYTEST_FLAGS)

FUZZ_SECONDS ?= 600
fuzz: venv
	tests/fuzz/fuzz.sh $(FUZZ_SECONDS)

long-runs: install
	IMPACT_LONG_RUN=200 $(BIN)/pytest -s tests/test_long_runs.py $(PYTEST_FLAGS)

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/python cmake/check_wings.py
	PYTHONPATH=src/python $(BIN)/lint-imports
	$(BIN)/codespell

format: venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_FILES)

clean:
	rm -rf $(VENV) build dist out

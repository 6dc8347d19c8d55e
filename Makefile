# What people type. Everything behind it also runs by itself: see the files named here.

.PHONY: help demo test lab bench soak sim-soak results man completions install deb sbom release-notes \
	reproducible clean

# Where programs are built; where `make install` puts them.
TARGET = $(or $(CARGO_TARGET_DIR),target)
PREFIX ?= /usr/local

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo [FILE=…]      see a file arrive from a server and from other downloaders
demo:
	cargo build --release --locked -p peerlift-cli
	@python3 scripts/demo.py $(TARGET)/release/peerlift

## make test                everything that checks Peerlift; the last line counts
# Installs what the tests need and runs them all; the last line is `N passed, N failed`.
test:
	@scripts/test

# Real programs in network namespaces (root): see docs/lab.md. `make lab ARGS='-k nat'`.
lab:
	cargo build --locked --release --workspace
	python3 lab/run.py $(ARGS)

# Ratios to other tools and to physical limits: see docs/benchmarks.md. `make bench ARGS=single`.
bench:
	cargo build --locked --release --workspace
	python3 bench/run.py $(ARGS)

# The swarm scenarios again and again: what goes wrong once in a hundred runs shows up here.
soak:
	cargo build --locked --release --workspace
	python3 lab/run.py --group swarm --repeat $(or $(TIMES),20)

# Many seeds of the scenarios of the simulator, with all checkers; a failed run says how to play it again.
sim-soak:
	cargo build --locked --release -p peerlift-cli
	for scenario in flash12 flash12-fastest trickle leave leave-fastest poison-quarter nat-mixed outage flash20; do \
		$(TARGET)/release/peerlift sim run $$scenario --seed $(or $(SEED),1) --seeds $(or $(SEEDS),20) || exit 1; \
	done

# All studies of the simulator again, into docs/results: see docs/simulation.md. `make results ARGS='-k crowd'`.
results:
	cargo build --locked --release -p peerlift-cli
	$(TARGET)/release/peerlift sim report docs/results $(ARGS)

## make man                manual pages, into target/man
man:
	cargo run --release --locked -q -p peerlift-cli -- man $(TARGET)/man

## make completions        completion scripts for bash, zsh and fish, into target/completions
completions:
	cargo build --release --locked -p peerlift-cli
	mkdir -p $(TARGET)/completions
	$(TARGET)/release/peerlift completions bash >$(TARGET)/completions/peerlift
	$(TARGET)/release/peerlift completions zsh >$(TARGET)/completions/_peerlift
	$(TARGET)/release/peerlift completions fish >$(TARGET)/completions/peerlift.fish

## make install [PREFIX=…] the program, its manual pages and completions, by default in /usr/local
install: man completions
	install -Dm755 $(TARGET)/release/peerlift $(DESTDIR)$(PREFIX)/bin/peerlift
	install -Dm644 packaging/README.txt $(DESTDIR)$(PREFIX)/share/doc/peerlift/README.txt
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m644 $(TARGET)/man/peerlift*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -Dm644 $(TARGET)/completions/peerlift \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/peerlift
	install -Dm644 $(TARGET)/completions/_peerlift \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_peerlift
	install -Dm644 $(TARGET)/completions/peerlift.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/peerlift.fish

## make deb                a Debian package, into target/debian
# What it carries and what it does when installed: packaging/README.txt, packaging/debian.
deb:
	@scripts/deb-needs
	scripts/release-build
	@scripts/deb

# Every crate in the program, as CycloneDX JSON; what users notice in this version.
sbom:
	@mkdir -p $(TARGET)
	python3 scripts/release.py sbom >$(TARGET)/peerlift.cdx.json
release-notes:
	@python3 scripts/release.py notes

# Whether two builds of the committed sources give the same program and package, byte for byte: slow.
reproducible:
	@scripts/deb-needs
	@scripts/reproducible

## make clean              forget everything that was built
clean:
	cargo clean

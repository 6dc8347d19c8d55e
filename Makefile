# What people type. Everything behind it also runs by itself: see the files named here.

.PHONY: test lab bench soak

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

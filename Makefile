# What a contributor types most; every target is one or two commands, shown by `make -n TARGET`.

.DEFAULT_GOAL := help
.PHONY: help install format check test test-fast bench bench-all

# What `bench-all` runs. thresholds takes about 3 minutes and data about 4 on two cores. The others have to be meant:
# balance.py trains 36 heads, beyond_memory.py writes 30 GiB. families, many_rows, photographs, threshold_measures and
# unlike_heads are modules of these, no benchmarks.
BENCHMARKS := start augment honest_f1 thresholds data

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install:  ## install ova from this folder, with all extras and the tools of the tests
	pip install -e ".[test]"

format:  ## format the code, and repair what the linter can
	ruff format .
	ruff check --fix .

check:  ## format, lint, types and import arrows, changing nothing
	.ci/check

test:  ## all tests
	pytest

test-fast:  ## the tests that are not marked slow
	pytest -m "not slow"

bench:  ## how fast the light commands start
	python benchmarks/start.py

bench-all:  ## five benchmarks, one after the other: more than 7 minutes on two cores
	for name in $(BENCHMARKS); do python benchmarks/$$name.py || exit 1; done

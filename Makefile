# Two commands: `make report` and `make test`.  Everything is installed into .venv from requirements.lock, and what is
# compiled for this processor is compiled then.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: report test processors two-reports lint drill bench chapters browser lock clean

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("hopperbook needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	PYTHONWARNINGS=ignore $(BIN)/python -m compileall -qq -j 0 lib $(VENV)/lib || true
	$(BIN)/hopperbook size --model llama-3.1-8b > /dev/null
	touch $@

report: $(STAMP)  ## build the report of the default customer
	$(BIN)/hopperbook build

test: $(STAMP)  ## unit tests, doctests, every chapter by nbval and again as on other processors, links, two customers' reports
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --nbval lib/hopperbook tests chapters
	$(MAKE) --jobs 2 --output-sync processors two-reports

processors: $(STAMP)  ## every chapter again, as other processors would run it
	$(BIN)/python tests/processors.py

two-reports: $(STAMP)  ## two customers' reports, and every link in them
	$(BIN)/hopperbook check

lint: $(STAMP)  ## ruff, mypy, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chapters: $(STAMP)  ## execute the chapters for the default customer and store their outputs
	$(BIN)/hopperbook chapters

browser: $(STAMP)  ## open every page in headless Chromium, network blocked; again in a pseudo-language and from a zip (needs chromium)
	$(BIN)/hopperbook check --browser
	$(BIN)/python tests/whole_report.py

drill: $(STAMP)  ## kills, full disks, hostile words, many customers: all of what `make test` does a little of; an hour and a half
	DRILL=1 $(BIN)/python -m pytest -n 0 -s --durations=0 tests/drills tests/test_new_part.py

bench: $(STAMP)  ## timings of calculators and build; peers beside ours, each in its own environment below .build/peers
	$(BIN)/python tests/bench.py

lock: $(STAMP)  ## resolve requirements.in again
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --output-file requirements.lock requirements.in

clean:
	rm -rf .build reports

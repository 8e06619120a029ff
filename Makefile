# Everything a fresh machine needs is made here; nothing is installed outside this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo
BENCH_SAMPLES ?= 1000000
SOAK_SAMPLES ?= 10000000
FUZZ_SECONDS ?= 600

.PHONY: help setup demo pictures pictures-detection test test-pi bench bench-convert bench-agent drills soak fuzz lint lock clean

help:
	@echo 'make setup    environment of this folder in $(VENV) (TensorFlow: about 2 GB, a minute or two)'
	@echo 'make demo     the main job on the simulated pump: train, convert, gate, pack, run, report'
	@echo 'make pictures the pictures of the report in docs/, by a real browser (chromium, chromium-driver)'
	@echo 'make pictures-detection SKAB=FOLDER  those of docs/detection.md: six builds and their evaluation (minutes)'
	@echo 'make test     lint, types, tests'
	@echo 'make test-pi  the device tests, decisions and deployment on root file systems of a Raspberry Pi (root; 20 minutes)'
	@echo 'make bench    latency and memory of the demo bundle on this machine, as JSON (minutes)'
	@echo 'make bench-convert SKAB=FOLDER  our converted forms against the stock routes (half an hour)'
	@echo 'make bench-agent  what the agent takes of memory and processor, and MQTT at 1,000 messages/s (minutes)'
	@echo 'make drills   kill, swap and feed garbage to the agent, by the hundred and the million (half an hour)'
	@echo 'make soak     ten million samples through one detector: does it grow, does it slow down? (minutes)'
	@echo 'make fuzz     broken bundles and models by the hundred thousand (FUZZ_SECONDS=600)'
	@echo 'make lock     choose versions anew for requirements/*.txt'

setup: $(READY)

$(READY): pyproject.toml requirements/host.txt
	@echo 'setting up $(VENV) …'
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo 'Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.12 …'; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) \
		|| { echo 'On Debian: apt-get install python3-venv'; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on \
		-c requirements/host.txt -e '.[host,dev]'
	@touch $@

demo: setup
	$(BIN)/python tools/demo.py $(DEMO)

pictures: setup
	$(BIN)/edge-ad build --preset pump -o $(DEMO) > /dev/null
	$(BIN)/python tools/make_pictures.py $(DEMO) docs

# SKAB names the folder of the recordings, as below
pictures-detection: setup
	@test -d "$(SKAB)" || { echo "make pictures-detection SKAB=FOLDER  (edge-ad data fetch skab -o FOLDER)"; exit 1; }
	$(BIN)/edge-ad build --preset skab $(SKAB) -o build/skab-tiny --models tiny > /dev/null
	$(BIN)/edge-ad build --preset skab-best $(SKAB) -o build/skab-best > /dev/null
	$(BIN)/edge-ad evaluate $(SKAB) --build build/skab-tiny --seeds 5 --json > build/evaluation-seeds.json
	$(BIN)/edge-ad evaluate $(SKAB) --build build/skab-best --json > build/evaluation-best.json
	$(BIN)/python tools/draw_detection.py build/evaluation-seeds.json build/evaluation-best.json \
		$(SKAB)/valve1/0.csv build/skab-tiny/bundles/valve1-0.edgead build/skab-best/bundles/valve1-0.edgead docs

# A worker per core, of which each takes whole files; every one loads TensorFlow, hence not more than four.
test: setup lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# SKAB names the folder of the recordings: make bench-convert SKAB=skab
bench-convert: setup
	@test -d "$(SKAB)" || { echo "make bench-convert SKAB=FOLDER  (edge-ad data fetch skab -o FOLDER)"; exit 1; }
	$(BIN)/edge-ad build --preset skab $(SKAB) -o build/skab > /dev/null
	$(BIN)/python tools/bench_convert.py build/skab build/bench-convert.json --plot build/bench-convert.png

fuzz: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/host.txt -e '.[fuzz]' \
		|| echo 'atheris does not install here: mutations that no coverage guides instead'
	$(BIN)/python tools/fuzz_bundle.py --seconds $(FUZZ_SECONDS)
	$(BIN)/python tools/fuzz_models.py --count 2000

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-pi: setup
	$(BIN)/python tools/pi_tests

bench: setup
	@test -e $(DEMO)/bundles/pump-0.edgead || $(MAKE) demo
	$(BIN)/edge-ad bench $(DEMO)/bundles/pump-0.edgead -o build/bench.json
	$(BIN)/python tools/bench_stream.py $(DEMO)/bundles/pump-0.edgead $(DEMO)/recordings/pump-0.csv \
		build/bench-stream.json $(BENCH_SAMPLES)
	$(BIN)/python tools/bench_detector.py $(DEMO)/bundles/pump-0.edgead $(DEMO)/recordings/pump-0.csv \
		build/bench-detector.json
	$(BIN)/python tools/bench_heads.py $(DEMO)/bundles/pump-0.edgead $(DEMO)/recordings/pump-0.csv \
		build/bench-heads.json
	$(BIN)/python tools/bench_verify.py tests/data/toy.edgead build/bench-verify.json
	@echo 'raw values: build/bench.json, build/bench-stream.json, build/bench-detector.json, build/bench-heads.json, build/bench-verify.json'

bench-agent: setup
	$(BIN)/python tools/bench_agent.py --output build/bench-agent.json
	$(BIN)/python tools/bench_mqtt.py tests/data/toy.edgead build/bench-mqtt.json --seconds 60

drills: setup
	$(BIN)/python tools/drill_kill.py --output build/drill-kill.json
	$(BIN)/python tools/drill_swap.py --output build/drill-swap.json
	$(BIN)/python tools/fuzz_sources.py --lines 1000000

soak: setup
	@test -e $(DEMO)/bundles/pump-0.edgead || $(MAKE) demo
	$(BIN)/python tools/soak.py $(DEMO)/bundles/pump-0.edgead $(DEMO)/recordings/pump-0.csv \
		build/soak.json $(SOAK_SAMPLES)

lock:
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile -q -U --universal --python-version 3.11 pyproject.toml --extra host --extra dev --extra fuzz \
		--no-emit-index-url --no-annotate --no-header -o requirements/host.txt
	build/lock/bin/uv pip compile -q -U --universal --python-version 3.11 pyproject.toml --extra device --extra signing --extra agent --extra gpio \
		--no-emit-index-url --no-annotate --no-header -o requirements/device.txt
	build/lock/bin/uv pip compile -q --universal --python-version 3.11 pyproject.toml --extra device --extra signing --extra agent \
		-c requirements/device.txt --no-emit-index-url --no-annotate --no-header -o requirements/agent.txt

clean:
	rm -rf build dist *.egg-info

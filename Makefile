# Needs Go, Python 3 and make; everything else is installed into .venv. `make race` needs a C compiler too.

GO ?= go
PYTHON ?= python3
# The functions' architecture. The template asks for arm64.
GOARCH ?= arm64
# How long `make fuzz` spends on each target.
FUZZTIME ?= 60s

# These are for the functions alone: tests and tools are built for this machine.
unexport GOOS GOARCH

# The end-to-end tests want .venv; plain `go test ./...` leaves them out.
TAGS := -tags e2e

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-input --require-hashes

# The functions as template.yaml names them, without the word Function; each has a folder of that name in lower case.
FUNCTIONS := ParkingSync VehicleNotify NotifyCallback EventDelivery VendorInfo CertRefresh
folder = $(shell echo '$(1)' | tr A-Z a-z)

.PHONY: help
help: ## Say what there is to make
	@awk -F ':.*## ' '/^[^ \t#]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: run
run: .venv parkctl ## Start the local stack, play one car's visit, serve until Ctrl-C
	@exec build/parkctl local serve

.PHONY: demo
demo: .venv parkctl ## Play the visit and stop; fails if any step is wrong
	@exec build/parkctl local demo

.PHONY: samples
samples: .venv ## Follow the vendor guide to the letter in each language; says what to install where a toolchain is absent
	$(GO) vet -tags samples ./samples
	@cd samples && $(GO) test -tags samples -count=1

# How much chaos there is to be.
CHAOS ?= --callbacks 10000 --calls 2000

.PHONY: chaos
chaos: .venv parkctl ## Run the gateway while everything around it fails; CHAOS="--callbacks 500 --calls 100 --seed 1" for less
	@exec build/parkctl local chaos $(CHAOS)

.PHONY: rotate
rotate: .venv parkctl ## Rotate every key under traffic, and print what was lost: nothing; ROTATE=--leaked for a leak
	@exec build/parkctl local rotate $(ROTATE)

.PHONY: test
test: .venv ## Vet, and run every test
	$(GO) vet $(TAGS) ./...
	$(GO) test $(TAGS) ./...
	$(GO) -C tools/bench vet ./...
	$(GO) -C tools/bench test ./...

.PHONY: browser
browser: .venv ## Press every button of the console in a headless Chromium; says what to install where there is none
	$(GO) vet -tags browser ./local/console
	$(GO) test -tags browser -count=1 -timeout 10m ./local/console

.PHONY: screenshots
screenshots: browser ## Take the console's pictures for docs/images anew
	@mkdir -p docs/images
	@for picture in light dark detail error mobile; do \
		cp "build/console/$$picture.png" "docs/images/console-$$picture.png" || exit 1; \
	done

.PHONY: race
race: .venv ## Run every test under the race detector
	CGO_ENABLED=1 $(GO) test -race $(TAGS) ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target, one after the other, for FUZZTIME each
	@mkdir -p build
	@$(GO) test -list '^Fuzz' ./... >build/fuzz.list || { cat build/fuzz.list; exit 1; }
	@awk '/^Fuzz/ { name[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, name[i]; n = 0 }' build/fuzz.list >build/fuzz.targets
	@test -s build/fuzz.targets || { echo 'no fuzz target found' >&2; exit 1; }
	@while read -r package target; do \
		echo "$$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$package" </dev/null || exit 1; \
	done <build/fuzz.targets

# More flags for make bench: BENCH=--short to see that it works.
BENCH ?=

# go test with the lines of the results alone: each benchmark's after those that it logs.
bench = @mkdir -p build && rm -f build/bench.failed && \
	{ $(GO) test -run '^$$' -bench '$(1)' -benchmem -v -timeout 30m $(2) || touch build/bench.failed; } | \
	awk '/^pkg: / { package = $$0 } \
		/^(=== |goos: |goarch: |pkg: |PASS$$|ok |\?|testing: warning: no tests)/ || /^Benchmark[^ \t]*$$/ { next } \
		package { print ""; print package; package = "" } \
		{ print; fflush() }' && \
	test ! -e build/bench.failed

.PHONY: bench
bench: build/tools/k6 ## Measure everything against floors, and write docs/performance.md (up to 10 minutes, on an idle machine)
	@$(GO) -C tools/bench run . --root '$(CURDIR)' --k6 '$(CURDIR)/build/tools/k6' $(BENCH)

build/tools/k6: tools/k6/go.mod tools/k6/go.sum
	@echo 'building k6, which makes the load (once, some minutes)'
	@mkdir -p build/tools
	@$(GO) -C tools/k6 build -trimpath -buildvcs=false -o '$(CURDIR)/$@' go.k6.io/k6

.PHONY: bench-go
bench-go: ## Run every benchmark of the packages as it is
	$(call bench,.,./...)

.PHONY: bench-delivery
bench-delivery: ## Events a second and memory of one sandbox; what a vendor that hangs costs the others (6 minutes)
	$(call bench,BareClient|Delivery|HangingVendor,./functions/eventdelivery)

.PHONY: build
build: $(FUNCTIONS:%=build-%) ## Build every function for Lambda into build/functions

# With one toolchain, one commit gives the same bytes everywhere: what the environment could change is set here.
# A GOFLAGS of the caller's is replaced; an empty one would let the one of `go env -w` through.
compile = CGO_ENABLED=0 GOOS=linux GOARCH='$(GOARCH)' GOFLAGS=-mod=readonly GOAMD64=v1 GOARM64=v8.0 GOFIPS140=off \
	$(GO) build -trimpath -buildvcs=false -tags lambda.norpc -ldflags '-s -w -buildid=' -o '$(2)/bootstrap' ./functions/$(1)

.PHONY: $(FUNCTIONS:%=build-%)
$(FUNCTIONS:%=build-%): build-%:
	$(call compile,$(call folder,$*),build/functions/$(GOARCH)/$(call folder,$*))

# What SAM's makefile builder calls, by the names in template.yaml.
artifacts = $(or $(ARTIFACTS_DIR),$(error ARTIFACTS_DIR is not set: it names the folder that the bootstrap goes into))

.PHONY: $(FUNCTIONS:%=build-%Function)
$(FUNCTIONS:%=build-%Function): build-%Function:
	$(call compile,$(call folder,$*),$(artifacts))

.PHONY: parkctl
parkctl:
	@$(GO) build -trimpath -buildvcs=false -o build/parkctl ./cmd/parkctl

# The SAM CLI without an account, a profile, telemetry, its look for a newer version or anything left in the home folder.
SAM := env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u AWS_PROFILE -u AWS_ENDPOINT_URL GOARCH=arm64 \
	AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_DEFAULT_REGION=us-east-1 AWS_REGION=us-east-1 \
	AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true \
	SAM_CLI_TELEMETRY=0 __SAM_CLI_APP_DIR='$(CURDIR)/build/validate/samcli' $(BIN)/sam

.PHONY: validate
validate: $(VENV)/validate.stamp ## Check the template and samconfig.toml, and build with SAM
	@rm -rf build/validate && mkdir -p build/validate/samcli
	@printf '{"telemetryEnabled": false, "lastVersionCheck": %s}\n' "$$(date +%s)" >build/validate/samcli/metadata.json
	$(BIN)/python -B tools/python/check_samconfig_test.py
	$(BIN)/python -B tools/python/check_samconfig.py samconfig.toml template.yaml
	$(BIN)/cfn-lint template.yaml
	$(BIN)/python -B tools/python/expand_template.py template.yaml >build/validate/expanded.json
	$(BIN)/cfn-lint build/validate/expanded.json
	$(GO) vet -tags validate ./local/stackcheck
	$(GO) test -tags validate ./local/stackcheck
	$(SAM) validate
	$(SAM) build --build-dir build/validate/sam
	@$(MAKE) --no-print-directory build GOARCH=arm64
	@echo 'Each artifact is the bootstrap of make build, byte for byte, and nothing else:'
	@for name in $(FUNCTIONS); do \
		folder=$$(echo $$name | tr A-Z a-z); \
		diff -r "build/validate/sam/$${name}Function" "build/functions/arm64/$$folder" || exit 1; \
		echo "  $$name"; \
	done

.PHONY: deploy-check
deploy-check: $(VENV)/deploy.stamp parkctl ## Deploy, update, fail, roll back and delete with SAM on an emulated AWS, and ask it what is there
	@rm -rf build/deploy-check && mkdir -p build/deploy-check
	@PYTHONPATH=tools/python $(BIN)/python -B -W ignore -m unittest deploycheck.deploycheck_test
	@echo 'sam build'
	@$(SAM) build --build-dir build/deploy-check/sam >build/deploy-check/build.log 2>&1 || { cat build/deploy-check/build.log; exit 1; }
	@PYTHONPATH=tools/python $(BIN)/python -B -W ignore -m deploycheck build/deploy-check/sam build/deploy-check

.PHONY: reference
reference: ## Write the API reference page to docs/reference, for publishing
	$(GO) run ./tools/reference docs/reference

.PHONY: lock
lock: ## Resolve the Python requirements again (needs uv)
	cd tools/python && UV_CUSTOM_COMPILE_COMMAND='make lock' && export UV_CUSTOM_COMPILE_COMMAND && \
	set -- uv pip compile --quiet --universal --no-strip-extras --no-emit-index-url --python-version 3.10 --generate-hashes && \
	"$$@" requirements-validate.in -o requirements-validate.txt && \
	"$$@" -c requirements-validate.txt requirements-local.in -o requirements-local.txt && \
	"$$@" -c requirements-validate.txt -c requirements-local.txt requirements-deploy.in -o requirements-deploy.txt

.PHONY: clean
clean: ## Remove what was built and installed
	rm -rf build .aws-sam $(VENV)

# A stamp is written last, so that an installation cut short is done again.
.PHONY: .venv
.venv: $(VENV)/local.stamp ## Install what the local stack and the end-to-end tests use

$(VENV)/local.stamp: tools/python/requirements-local.txt
	@echo 'installing the local AWS into $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -r $<
	@touch $@

$(VENV)/validate.stamp: tools/python/requirements-validate.txt $(VENV)/local.stamp
	@echo 'installing the SAM CLI and cfn-lint into $(VENV)'
	@$(PIP) -r $<
	@touch $@

$(VENV)/deploy.stamp: tools/python/requirements-deploy.txt $(VENV)/validate.stamp
	@echo 'installing the rest of the emulated AWS into $(VENV)'
	@$(PIP) -r $<
	@touch $@

# Every target installs what it needs first. The pinned Node comes with the npm packages,
# so whatever Node the machine has only has to run npm.
SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
ARGS ?=
LOG ?=

.PHONY: run test check bench chaos failover build reference clean help

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

run: node_modules/.installed ## install what is missing, then start the whole product (pulsegate dev)
	@exec node bin/pulsegate.mjs dev $(ARGS)

test: node_modules/.installed ## every test, with the real servers that they need
	@tests/helpers/kafka/install.sh
	@tests/helpers/redis/install.sh
	@vitest run $(ARGS)

check: node_modules/.installed ## format, lint, types, import floors, generated files, dead code
	@node scripts/check.ts $(ARGS)

bench: node_modules/.installed ## the figures that the README quotes
	@node bench/run.ts $(ARGS)

chaos: node_modules/.installed ## kill, stop, freeze and cut everything under load, then account for every event; LOG=redis: all roles over Redis, and over a primary that is replaced
	@$(if $(filter redis,$(LOG)),tests/helpers/redis/install.sh)
	@node tests/chaos/run.ts $(if $(LOG),--log $(LOG)) $(ARGS)

failover: node_modules/.installed ## every Redis there is loses each primary of a cluster, and behind sentinels, under load
	@tests/helpers/redis/install.sh
	@PULSEGATE_FAILOVER=all vitest run tests/integration/redis-failover.test.ts

build: node_modules/.installed ## dist/ for the package
	@node scripts/build.ts

reference: node_modules/.installed ## generate docs/reference and deploy/grafana anew
	@node scripts/generate-reference.ts
	@node scripts/generate-dashboards.ts

clean: ## remove what was built and installed
	@rm -rf node_modules dist coverage

node_modules/.installed: package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing. Install Node.js 20 or newer with npm (Debian: apt-get install nodejs npm), then run make again." >&2; exit 1; }
	@echo "Installing packages (first time: about a minute) ..."
	@# Not `npm ci`: it refuses a lock file that lacks the optional packages of platforms that a registry does not serve.
	@npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@

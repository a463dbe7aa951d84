# SPDX-License-Identifier: Apache-2.0
# Goals that people type, besides all.

.PHONY: help
help: ## this list
	@echo 'make GOAL [VARIANT=check|faults|simulate|asan|tsan|coverage|fuzz] [DESTDIR=...]'
	@sed -n 's/^\([a-z][a-z._-]*\):.*## \(.*\)/  \1\t\2/p' Makefile apxs/goals.mk | expand -t 24

# ---- see it work, test it -------------------------------------------------------------------------------
# What is built here is built by a make of its own: this one asked pkg-config before the packages were there.
jobs := -j$(shell nproc)

.PHONY: stack-programs
stack-programs: ## what tests/stack/stack starts: packages and programs ("stack up" asks for it where it is missing)
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) all $(B)/amtsim

.PHONY: demo
demo: ## unlock 20 simulated PCs through a real httpd, KDC, Redis and worker
	@$(MAKE) --no-print-directory VARIANT= stack-programs
	@tests/demo

.PHONY: test
test: ## every test area; ends with "N passed, N failed"
	@apxs/packages.sh test fuzz
	@$(MAKE) --no-print-directory $(jobs) for-asan for-fuzz for-check for-faults
	@tests/run

# What the areas need of each variant, side by side. What the first three share, for-plain builds alone.
.PHONY: for-plain for-check for-faults for-asan for-fuzz
for-plain:
	@$(MAKE) --no-print-directory VARIANT= all build/amtsim
for-check: for-plain
	@$(MAKE) --no-print-directory VARIANT=check all build/check/amtsim build/check/amt_client build/check/torture
for-faults: for-plain
	@$(MAKE) --no-print-directory VARIANT=faults all build/faults/amtsim
for-asan:
	@$(MAKE) --no-print-directory VARIANT=asan all build/asan/amtsim unit-tests
for-fuzz:
	@$(MAKE) --no-print-directory VARIANT=fuzz fuzz-targets

MUTANTS ?= 10000
.PHONY: mutate
mutate: ## MUTANTS (10000) mutated envelopes through a live httpd with AddressSanitizer
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT=asan all build/asan/amtsim
	@AMTU_BUILD=build/asan tests/httpd/mutated/campaign.py --count $(MUTANTS)

.PHONY: faults
faults: ## kill, stop and starve everything at every step boundary and judge what became of it (40 minutes; SHORT=1: two)
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT=faults all build/faults/amtsim
	@tests/faults/run $(if $(SHORT),--short)

.PHONY: interop
interop: ## other people's WS-Man clients against a whole stack; ends with "N passed, N failed"
	@apxs/packages.sh interop
	@$(MAKE) --no-print-directory $(jobs) VARIANT=check all build/check/amtsim
	@AMTU_BUILD=build/check tests/interop/run

.PHONY: faults-mutants
faults-mutants: ## break one promise in a copy of the sources at a time: the campaign must notice each
	@apxs/packages.sh faults
	@$(MAKE) --no-print-directory $(jobs) VARIANT=faults all build/faults/amtsim
	@tests/faults/mutate

SEED  ?= 1
TASKS ?= 20000
.PHONY: simulate simulate-mutants
simulate: ## TASKS (20,000) tasks from SEED (1), with faults, in one process and virtual time: see tests/simulate/README.md
	@apxs/packages.sh simulate
	@$(MAKE) --no-print-directory $(jobs) VARIANT=simulate build/simulate/simulate build/simulate/compare
	@/usr/bin/python3 -B -m pytest -q -p no:cacheprovider tests/simulate
	@build/simulate/simulate --seed $(SEED) --tasks $(TASKS)
simulate-mutants: ## break one promise in a copy of the sources at a time: the simulation must notice each
	@apxs/packages.sh simulate
	@$(MAKE) --no-print-directory $(jobs) VARIANT=simulate build/simulate/simulate
	@tests/simulate/mutate

.PHONY: torture
torture: ## every memory allocation and system call of the library fails once, one at a time (4 minutes); ends with "N passed, N failed"
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT=check build/check/torture
	@build/check/torture

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZ_SECONDS (60); ends with "N passed, N failed"
	@apxs/packages.sh test fuzz
	@$(MAKE) --no-print-directory $(jobs) VARIANT=fuzz fuzz-targets
	@tests/fuzz/run --seconds $(FUZZ_SECONDS)

.PHONY: bench
bench: ## one table of figures, each with its floor and what is wanted (a quarter of an hour; QUICK=1: two minutes; ONLY=ROW, REPEAT=3)
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT= all build/amtsim build/bench/load build/bench/floor build/bench/serve
	@tests/bench/run $(if $(QUICK),--quick) $(ONLY:%=--only %) $(REPEAT:%=--repeat %)

.PHONY: realdisk
realdisk: ## unlock a real Debian on an encrypted disk, under QEMU (as root; minutes)
	@[ "$$(id -u)" -eq 0 ] || { echo 'make realdisk: only root can make the disk (debootstrap)' >&2; exit 1; }
	@apxs/packages.sh realdisk
	@$(MAKE) --no-print-directory $(jobs) VARIANT= all build/amtsim
	@tests/realdisk/run

.PHONY: image image-test
image: ## the unlock image build/unlock.iso, from Debian's packages (KERNEL=, SHIM=, GRUB=, DRIVERS=: see docs/image.md)
	@apxs/packages.sh image
	@$(MAKE) --no-print-directory VARIANT= build/image/init
	@mod_amtunlock/image/build build/image/init build/unlock.iso
image-test: ## build the image twice, compare the two, and see that what is missing is said (five minutes)
	@apxs/packages.sh image test
	@/usr/bin/python3 -B -m pytest -q -p no:cacheprovider tests/image

.PHONY: realimage
realimage: ## boot build/unlock.iso on a PC under QEMU and let it unlock a real Debian (as root; minutes)
	@[ "$$(id -u)" -eq 0 ] || { echo 'make realimage: only root can make the disk (debootstrap)' >&2; exit 1; }
	@apxs/packages.sh realdisk
	@[ -e build/unlock.iso ] || $(MAKE) --no-print-directory image
	@$(MAKE) --no-print-directory $(jobs) VARIANT= all build/amtsim
	@tests/realimage/run

.PHONY: distros
distros: ## build and install on newer releases of Debian (as root; ten minutes the first time); ends with "N passed, N failed"
	@apxs/packages.sh distros
	@tests/distros/run

.PHONY: compose-test
compose-test: ## the same job between containers, with docker compose or podman-compose
	@docker/compose-test

.PHONY: install-test
install-test: ## the README's lines for an installation, on a copy of this machine's files (as root)
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT=check all build/check/amtsim
	@AMTU_BUILD=build/check tests/install/run

.PHONY: asan
asan: ## everything with AddressSanitizer and UndefinedBehaviorSanitizer, under build/asan
	$(MAKE) VARIANT=asan test-programs

RESTARTS ?= 100/20
.PHONY: restarts
restarts: ## RESTARTS (100/20) graceful and hard restarts of httpd during jobs, on each MPM
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT=check all build/check/amtsim
	@AMTU_BUILD=build/check AMTU_RESTARTS=$(RESTARTS) \
	    /usr/bin/python3 -B -m pytest -q -p no:cacheprovider -n 3 --dist loadgroup tests/httpd/test_restarts.py

.PHONY: tsan
tsan: ## the worker's tests with ThreadSanitizer, under build/tsan; ends with "N passed, N failed"
	@apxs/packages.sh test
	@$(MAKE) --no-print-directory $(jobs) VARIANT=tsan all build/tsan/amtsim thread-tests
	@tests/tsan/run

.PHONY: lint
lint: ## clang-format, the rooms, clang-tidy, cppcheck, shellcheck: quiet means clean
	@apxs/packages.sh lint
	@$(MAKE) --no-print-directory VARIANT=check lint-sources

.PHONY: lint-sources
lint-sources:
	$(shell mkdir -p build/lint)
	$(file >build/lint/flags,$(CPPFLAGS) -Imod_amtunlock $(DEFINES) $(TEST_DEFINES) $(APR_CPPFLAGS) $(PACKAGES_CFLAGS) $(HTTPD_CPPFLAGS) $(LUA_CFLAGS) -Itests/unit $(WARNINGS) -Werror)
	$(file >build/lint/sources)
	$(foreach source,$(c_sources) $(c_headers),$(file >>build/lint/sources,$(source)))
	@apxs/lint.sh build/lint/flags build/lint/sources

.PHONY: house
house: ## the rooms in numbers: files, functions, arrows, circles; fails where one stands as it should not
	@apxs/house

.PHONY: steps
steps: $(B)/amtunlockd ## docs/steps.dot and, with Graphviz, docs/steps.svg: the table of steps, as the program prints it
	@apxs/packages.sh steps
	@$(B)/amtunlockd steps >docs/steps.dot
	@dot -Tsvg docs/steps.dot -o docs/steps.svg

.PHONY: walk
walk: ## each "How to add" of docs/architecture.md, walked on a copy of the sources; ends with "N passed, N failed"
	@apxs/packages.sh test faults steps
	@tests/house/walk

# ---- install --------------------------------------------------------------------------------------------
# Nothing that an administrator wrote is overwritten: what is in etc/ already stays, and the samples are in docdir.
modsdir ?= $(sysconfdir)/apache2/mods-available
samples := $(patsubst conf/%,$(B)/conf/%,$(wildcard conf/*))

# The samples name the places of Debian; what is installed names those of this installation. Made anew each time: what the
# variables were last time is not known.
.PHONY: conf
conf:
	@mkdir -p $(B)/conf
	@for file in conf/*; do \
	    sed -e 's,/usr/lib/apache2/modules/,$(libexecdir)/,g' -e 's,/usr/sbin/amtunlockd,$(sbindir)/amtunlockd,g' \
	        -e 's,/usr/share/doc/amtunlock,$(docdir),g' -e 's,/etc/amtunlock,$(sysconfdir)/amtunlock,g' \
	        -e 's,/run/amtunlock,$(runstatedir)/amtunlock,g' -e 's,/var/lib/amtunlock,$(localstatedir)/lib/amtunlock,g' \
	        "$$file" >"$(B)/$$file" || exit 1; \
	done

# $(call keep,MODE,SOURCE,FOLDER): installs a configuration file where none is yet
keep = test -e '$(DESTDIR)$(3)/$(notdir $(2))' || install -D -m $(1) $(2) '$(DESTDIR)$(3)/$(notdir $(2))'

.PHONY: install
install: all conf ## programs, module, configuration, unit file, manual pages and documents
	install -D -m 0644 $(B)/mod_amtunlock.so '$(DESTDIR)$(libexecdir)/mod_amtunlock.so'
	install -D -m 0755 $(B)/amtunlockd '$(DESTDIR)$(sbindir)/amtunlockd'
	install -D -m 0755 $(B)/amtunlock '$(DESTDIR)$(bindir)/amtunlock'
	install -d '$(DESTDIR)$(docdir)/examples'
	install -m 0644 README.md CHANGELOG.md SECURITY.md LICENSE docs/consoles.md docs/image.md docs/methods.md docs/operations.md '$(DESTDIR)$(docdir)'
	install -m 0644 $(samples) '$(DESTDIR)$(docdir)/examples'
	install -d '$(DESTDIR)$(datadir)'
	install -m 0644 $(interface_texts) '$(DESTDIR)$(datadir)'
	install -m 0644 mod_amtunlock/proof/README.md '$(DESTDIR)$(docdir)/image-proof.md'
	install -D -m 0644 mod_amtunlock/console/amtunlock.1 '$(DESTDIR)$(mandir)/man1/amtunlock.1'
	install -D -m 0644 mod_amtunlock/worker/process/amtunlockd.8 '$(DESTDIR)$(mandir)/man8/amtunlockd.8'
	install -D -m 0644 $(B)/conf/amtunlockd.service '$(DESTDIR)$(unitdir)/amtunlockd.service'
	install -D -m 0644 $(B)/conf/amtunlock.sysusers '$(DESTDIR)$(sysusersdir)/amtunlock.conf'
	install -D -m 0644 $(B)/conf/amtunlock.tmpfiles '$(DESTDIR)$(tmpfilesdir)/amtunlock.conf'
	install -D -m 0644 $(B)/conf/amtunlock.load '$(DESTDIR)$(modsdir)/amtunlock.load'
	$(call keep,0644,$(B)/conf/amtunlock.conf,$(modsdir))
	$(call keep,0644,$(B)/conf/amtunlockd.conf,$(sysconfdir)/amtunlock)
	$(call keep,0644,$(B)/conf/systems.csv,$(sysconfdir)/amtunlock)

.PHONY: uninstall
uninstall: ## takes away what install brought, but no configuration; httpd no longer loads what is gone
	@cd '$(DESTDIR)$(patsubst %-available,%-enabled,$(modsdir))' 2>/dev/null || exit 0; \
	for link in amtunlock.load amtunlock.conf; do \
	    [ ! -L "$$link" ] || { echo "rm $$PWD/$$link"; rm "$$link"; }; \
	done
	rm -f '$(DESTDIR)$(modsdir)/amtunlock.load'
	rm -f '$(DESTDIR)$(libexecdir)/mod_amtunlock.so' '$(DESTDIR)$(sbindir)/amtunlockd' \
	    '$(DESTDIR)$(bindir)/amtunlock' '$(DESTDIR)$(unitdir)/amtunlockd.service' \
	    '$(DESTDIR)$(mandir)/man1/amtunlock.1' '$(DESTDIR)$(mandir)/man8/amtunlockd.8' \
	    '$(DESTDIR)$(sysusersdir)/amtunlock.conf' '$(DESTDIR)$(tmpfilesdir)/amtunlock.conf' \
	    '$(DESTDIR)$(datadir)'/AMT_RemoteEncryptionService.*
	rm -rf '$(DESTDIR)$(docdir)'
	rmdir '$(DESTDIR)$(datadir)' 2>/dev/null || true

.PHONY: clean
clean: ## remove build/
	rm -rf build

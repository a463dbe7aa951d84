# SPDX-License-Identifier: Apache-2.0
# mod_amtunlock: see "make help". GNU make; everything is built under build/.
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SECONDARY:

include apxs/variants.mk
include apxs/apxs.mk

VERSION := 0.1.0

prefix     ?= /usr
sysconfdir ?= /etc
sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
libexecdir ?= $(HTTPD_LIBEXEC)
datadir    ?= $(prefix)/share/amtunlock
docdir     ?= $(prefix)/share/doc/amtunlock
mandir     ?= $(prefix)/share/man
unitdir    ?= /lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d
runstatedir ?= /run
localstatedir ?= /var
DESTDIR    ?=

CFLAGS   ?= -O2 -g
# A warning of a compiler that came later must not stop who only installs: WERROR=-Werror is for who changes the sources.
WERROR   ?=
WARNINGS := -std=gnu11 -Wall -Wextra $(WERROR) -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
# Who builds a distribution's package says what is fortified; some compilers say so by themselves.
fortify  := $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS) $(VARIANT_CFLAGS)),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
HARDEN   := -fstack-protector-strong $(if $(filter coverage,$(VARIANT)),,$(fortify))
DEFINES  := -D_GNU_SOURCE -DAMTUNLOCK_VERSION='"$(VERSION)"' -DAMTUNLOCK_SBINDIR='"$(sbindir)"' \
            -DAMTUNLOCK_SYSCONFDIR='"$(sysconfdir)"' -DAMTUNLOCK_RUNSTATEDIR='"$(runstatedir)"' \
            -DAMTUNLOCK_LOCALSTATEDIR='"$(localstatedir)"'
# make V=1 shows the whole commands
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-6s %s\n' $(1) $@)

COMPILE  = $(CC) -Imod_amtunlock $(CPPFLAGS) $(DEFINES) $(APR_CPPFLAGS) $(PACKAGES_CFLAGS) $(CFLAGS) \
           $(VARIANT_CFLAGS) $(WARNINGS) $(HARDEN) -fPIC -fvisibility=hidden -MMD -MP
LINK     = $(CC) $(CFLAGS) $(VARIANT_CFLAGS) $(VARIANT_LDFLAGS) $(LDFLAGS) -Wl,--as-needed -Wl,-z,relro,-z,now

# ---- what belongs to what -------------------------------------------------------------------------------
c_sources   := $(wildcard mod_amtunlock/*/*.c mod_amtunlock/*/*/*.c tests/*/*.c)
c_headers   := $(wildcard mod_amtunlock/*/*.h mod_amtunlock/*/*/*.h tests/*/*.h)

# The library holds every room but the httpd face, the unlock image's program and the two main() functions; for fuzzing,
# what the targets call.
mains       := mod_amtunlock/worker/process/main.c mod_amtunlock/console/amtunlock.c
lib_rooms   := $(if $(filter fuzz,$(VARIANT)),base wsman proof amt unlock,*)
lib_sources := $(filter-out $(mains) mod_amtunlock/httpd/% mod_amtunlock/image/% $(if $(filter faults,$(VARIANT)),,%/failpoint.c),\
               $(wildcard $(foreach room,$(lib_rooms),mod_amtunlock/$(room)/*.c mod_amtunlock/$(room)/*/*.c)))
lib_objects := $(call objects,$(lib_sources)) $(if $(filter fuzz,$(VARIANT)),,$(S)/obj/mod_amtunlock/jobs/library.o)
httpd_objects := $(call objects,$(wildcard mod_amtunlock/httpd/*.c)) $(S)/obj/mod_amtunlock/httpd/interface_texts.o
unit_tests  := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
unit_common := $(patsubst %.c,$(B)/obj/%.o,$(filter-out tests/unit/test_%.c,$(wildcard tests/unit/*.c)))
amtsim_objects := $(patsubst %.c,$(S)/obj/%.o,$(wildcard tests/amtsim/*.c))

programs := $(B)/mod_amtunlock.so $(B)/amtunlockd $(B)/amtunlock $(if $(filter faults,$(VARIANT)),$(B)/wall_clock.so) \
            $(if $(filter faults check coverage,$(VARIANT)),$(B)/slow_disk.so)

comma := ,

.PHONY: all
all: $(B)/libamtunlock.a $(programs) ## build the library, the module, the worker and the command

# $(call compile_of,SOURCE): what compiles a source of the product, or of a test that calls into it, up to the output
compile_of = $(COMPILE) $(if $(findstring /httpd/,$(1)),$(HTTPD_CPPFLAGS)) \
             $(if $(filter tests/simulate/%,$(1)),-DAMTUNLOCK_FAULTS=1 -Itests/unit $(LUA_CFLAGS)) \
             $(if $(filter mod_amtunlock/%,$(1)),-Wdeclaration-after-statement)

# What the flags come from: a change there builds everything again.
flags := Makefile apxs/apxs.mk apxs/variants.mk

$(B)/obj/%.o: %.c $(flags)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(call compile_of,$<) $(SWITCHES) -c -o $@ $<
ifneq ($(S),$(B))
$(S)/obj/%.o: %.c $(flags)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(call compile_of,$<) -c -o $@ $<
endif

# jobs/lua/ travels inside the programs that load it into Redis
$(S)/obj/mod_amtunlock/jobs/library.o: mod_amtunlock/jobs/library.S $(wildcard mod_amtunlock/jobs/lua/*.lua)
	@mkdir -p $(@D)
	$(call say,AS)
	$(Q)$(CC) -fPIC -Wa,-Imod_amtunlock/jobs/lua -c -o $@ $<

# the interface as MOF and WSDL travels inside the module that serves it
interface_texts := $(wildcard mod_amtunlock/manageability/*.mof mod_amtunlock/manageability/*.wsdl)
$(S)/obj/mod_amtunlock/httpd/interface_texts.o: mod_amtunlock/httpd/interface.S $(interface_texts)
	@mkdir -p $(@D)
	$(call say,AS)
	$(Q)$(CC) -fPIC -Wa,-Imod_amtunlock/manageability -c -o $@ $<

$(B)/libamtunlock.a: $(lib_objects)
	@rm -f $@
	$(call say,AR)
	$(Q)$(AR) rcs $@ $(lib_objects)

$(B)/mod_amtunlock.so: $(httpd_objects) $(B)/libamtunlock.a apxs/exports.map
	$(call say,LINK)
	$(Q)$(LINK) -shared -Wl,--version-script=apxs/exports.map -o $@ $(httpd_objects) $(B)/libamtunlock.a \
	    $(WEB_LIBS)

$(B)/amtunlockd: $(call objects,mod_amtunlock/worker/process/main.c) $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) -pie -o $@ $^ $(WORKER_LIBS) $(WEB_LIBS) $(APR_LIBS) -lpthread

$(B)/amtunlock: $(call objects,mod_amtunlock/console/amtunlock.c) $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) -pie -o $@ $^ $(CONSOLE_LIBS) $(WEB_LIBS) $(APR_LIBS)

# The simulated fleet shares nothing with the product: other include path, other libraries.
amtsim_packages := libevent libevent_openssl libssl libcrypto libxml-2.0 jansson krb5-gssapi
amtsim_compile = $(CC) $(CPPFLAGS) -D_GNU_SOURCE $(shell $(PKG_CONFIG) --cflags $(amtsim_packages)) $(CFLAGS) \
                 $(VARIANT_CFLAGS) $(WARNINGS) $(HARDEN) -MMD -MP
$(S)/obj/tests/amtsim/%.o: tests/amtsim/%.c $(flags)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(amtsim_compile) -c -o $@ $<
$(B)/amtsim: $(amtsim_objects)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(shell $(PKG_CONFIG) --libs $(amtsim_packages)) -lpthread

# The program of the unlock image: not part of "all", and it shares nothing with the product. What of it does no I/O is
# tested and fuzzed like the rest.
image_objects := $(patsubst %.c,$(S)/obj/%.o,$(wildcard mod_amtunlock/image/*.c))
image_pure    := $(addprefix $(S)/obj/mod_amtunlock/image/,talk.o keys.o)
image_compile  = $(CC) -Imod_amtunlock $(CPPFLAGS) -D_GNU_SOURCE $(CFLAGS) $(VARIANT_CFLAGS) $(WARNINGS) $(HARDEN) \
                 -Wdeclaration-after-statement -fPIE -MMD -MP
$(S)/obj/mod_amtunlock/image/%.o: mod_amtunlock/image/%.c $(flags)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(image_compile) -c -o $@ $<
$(B)/image/init: $(image_objects)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -pie -o $@ $^ $(shell $(PKG_CONFIG) --libs libcryptsetup libcrypto)

$(B)/unit/test_image_talk: $(image_pure)
image_menus   := $(addprefix $(S)/obj/mod_amtunlock/image/,menu.o menu_grub.o menu_entry.o initramfs.o)
$(B)/unit/test_image_menu: $(image_menus)
$(B)/unit/test_image_disks: $(addprefix $(S)/obj/mod_amtunlock/image/,disc.o disks.o keys.o console.o image.o)

$(B)/unit/%: $(B)/obj/tests/unit/%.o $(unit_common) $(B)/libamtunlock.a
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(B)/libamtunlock.a -lcmocka $(CONSOLE_LIBS) $(WORKER_LIBS) $(WEB_LIBS) $(APR_LIBS) -lpthread

$(B)/unit/test_simulate_shrink: $(B)/obj/tests/simulate/shrink.o

# A wall clock and a slow disk for the campaign, to be preloaded; they must need no more than libc.
$(B)/wall_clock.so $(B)/slow_disk.so: $(B)/%.so: tests/faults/%.c $(flags)
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(VARIANT_CFLAGS) $(WARNINGS) -fPIC -fvisibility=hidden -shared -o $@ $<

# The clients of the benches share nothing with the product.
$(B)/bench/%: $(S)/obj/tests/bench/%.o $(S)/obj/tests/bench/loop.o
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(shell $(PKG_CONFIG) --libs libcurl libssl libcrypto krb5-gssapi)
$(B)/bench/load: $(S)/obj/tests/bench/ntlm.o

# Drives the AMT client by itself, against the simulated fleet.
$(B)/amt_client: $(B)/obj/tests/unlock/amt_client.o $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(WORKER_LIBS) $(WEB_LIBS) $(APR_LIBS) -lpthread

# What may come from outside, thrown at the room that reads it (VARIANT=fuzz only).
fuzz_targets := $(patsubst tests/fuzz/%.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))
$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(B)/libamtunlock.a $(WORKER_LIBS) $(WEB_LIBS) $(APR_LIBS) -lpthread
$(B)/fuzz_proof: $(B)/obj/tests/unit/proof_peer.o
$(B)/fuzz_image: $(image_pure)
$(B)/fuzz_menu: $(image_menus)

# Every call fails once: defines malloc() and system calls itself, so it is built without sanitizers.
torture_objects := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tests/torture/*.c) \
                   tests/unit/redis_server.c tests/unit/proof_peer.c tests/unit/amt_peer.c)
$(B)/torture: $(torture_objects) $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ -lcmocka $(CONSOLE_LIBS) $(WORKER_LIBS) $(WEB_LIBS) $(APR_LIBS) -lpthread

# The whole protocol in one process (VARIANT=simulate only): see tests/simulate/README.md.
simulate_wraps   := $(addprefix -Wl$(comma)--wrap=,open64 close write fdatasync fsync RAND_bytes arc4random_uniform)
simulate_objects := $(patsubst %.c,$(B)/obj/%.o,$(filter-out %/compare.c,$(wildcard tests/simulate/*.c)) tests/unit/proof_peer.c)
$(B)/simulate: $(simulate_objects) $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) $(simulate_wraps) -o $@ $^ $(shell $(PKG_CONFIG) --libs lua5.1) $(CONSOLE_LIBS) $(WORKER_LIBS) $(WEB_LIBS) $(APR_LIBS) -lpthread
# What of it answers as Redis, for a comparison with a real one.
$(B)/compare: $(addprefix $(B)/obj/tests/simulate/,compare.o store.o store_collections.o store_sorted_sets.o functions.o) $(B)/libamtunlock.a
	$(call say,LINK)
	$(Q)$(LINK) -o $@ $^ $(shell $(PKG_CONFIG) --libs lua5.1) $(WORKER_LIBS) $(APR_LIBS)

.PHONY: fuzz-targets
fuzz-targets: $(fuzz_targets)

.PHONY: unit-tests thread-tests test-programs
unit-tests: $(unit_tests)
# those that tests/tsan/run runs, by the list that is written here: of rooms that have threads, and of what threads share
thread_rooms := worker unlock preflight jobs secrets manageability
tests_of      = $(filter $(B)/unit/test_$(1)_%,$(unit_tests))
thread_tests := $(foreach room,$(thread_rooms),$(call tests_of,$(room)))
thread-tests: $(thread_tests)
	$(foreach room,$(thread_rooms),$(if $(call tests_of,$(room)),,$(error no tests/unit/test_$(room)_*.c is left: mend thread_rooms)))
	$(file >$(B)/thread-tests,$(thread_tests))
test-programs: all $(B)/amtsim $(B)/amt_client unit-tests ## build everything that the tests run

# For clangd and its like: how each C source is compiled for the tests.
# $(call described,SOURCE,COMMAND): an entry of it
described = {"directory": "$(CURDIR)"$(comma) "file": "$(1)"$(comma) "command": "$(call in_json,$(strip $(2)) -c $(1))"}
in_json = $(subst ",\",$(subst \,\\,$(1)))
all_described = $(foreach source,$(c_sources),$(call described,$(source),$(if $(filter tests/amtsim/%,$(source)), \
                $(amtsim_compile),$(call compile_of,$(source)) $(TEST_DEFINES))))
compile_commands.json: $(flags) $(c_sources) ## how each source is compiled, for editors and clang's tools
	$(file >$@,[$(subst } {,}$(comma) {,$(all_described))])
	$(call say,JSON)

-include $(shell find $(sort $(B)/obj $(S)/obj) -name '*.d' 2>/dev/null)

include apxs/goals.mk

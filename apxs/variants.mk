# SPDX-License-Identifier: Apache-2.0
# A variant is the same sources built another way, in a folder of its own: make VARIANT=asan
#
#   variant   what it is                                           what it is for
#   (none)    what is installed                                    install, demo, bench, realdisk; that no switch of the
#                                                                  tests is in it (tests/httpd/test_configuration.py)
#   check     as installed, with test-only switches: short limits  most tests of whole programs; torture
#   faults    check, with fault points (base/failpoint.h), a       the fault campaign: in any other variant a fault
#             lease of 1 s and a grace of 0.5 s                    point would cost time, and a lease of 1 s real ones
#   asan      check, with AddressSanitizer and                     unit tests; mutated envelopes through a live httpd
#             UndefinedBehaviorSanitizer
#   tsan      check, with ThreadSanitizer (excludes the others)    make tsan
#   simulate  as installed, with fault points                      make simulate: all of it in one process, in virtual time
#   coverage  check, with gcov                                     by hand
#   fuzz      check, by clang with both sanitizers and libFuzzer's the fuzz targets, which only clang can build
#             coverage; only the rooms that the targets call
#
# "make test" needs all but tsan and coverage. The first three differ by their switches only, and few sources look at
# one. So a source that spells no switch is compiled once for the three, into build/obj, and without any; what spells
# one is compiled for each.
VARIANT ?=
B := build$(if $(VARIANT),/$(VARIANT))
# Where the objects are that no switch changes.
S := $(if $(filter check faults simulate,$(VARIANT)),build,$(B))

VARIANT_CFLAGS  :=
VARIANT_LDFLAGS :=
TEST_DEFINES := -DAMTUNLOCK_TEST=1
SWITCHES     := $(if $(VARIANT),$(TEST_DEFINES))
SANITIZE_COMMON := -O1 -fno-omit-frame-pointer -U_FORTIFY_SOURCE

ifeq ($(VARIANT),faults)
SWITCHES += -DAMTUNLOCK_FAULTS=1 -DJOBS_LEASE_MS=1000 -DJOBS_GRACE_MS=500
else ifeq ($(VARIANT),simulate)
SWITCHES := -DAMTUNLOCK_FAULTS=1
else ifeq ($(VARIANT),asan)
VARIANT_CFLAGS  := $(SANITIZE_COMMON) -fsanitize=address,undefined -fno-sanitize-recover=undefined
VARIANT_LDFLAGS := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
VARIANT_CFLAGS  := $(SANITIZE_COMMON) -fsanitize=thread
VARIANT_LDFLAGS := -fsanitize=thread
else ifeq ($(VARIANT),coverage)
VARIANT_CFLAGS  := -O0 --coverage
VARIANT_LDFLAGS := --coverage
else ifeq ($(VARIANT),fuzz)
# libFuzzer comes with clang only
ifeq ($(origin CC),default)
CC := clang
endif
VARIANT_CFLAGS  := $(SANITIZE_COMMON) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
VARIANT_LDFLAGS := -fsanitize=fuzzer,address,undefined
else ifeq ($(filter check,$(VARIANT)),)
ifneq ($(VARIANT),)
$(error no such variant: $(VARIANT) (check, faults, simulate, asan, tsan, coverage or fuzz))
endif
endif

# The sources that spell a switch, or a macro that depends on one. Such macros stand in four headers; in any other a
# switch could change a source that does not spell it.
switch_words    := AMTUNLOCK_(TEST|FAULTS)|JOBS_(LEASE|GRACE)|LEASE_(MARGIN|PULSE)|FAILPOINT
switched        := $(shell grep -lE '$(switch_words)' mod_amtunlock/*/*.c mod_amtunlock/*/*/*.c)
switch_headers  := $(addprefix mod_amtunlock/,base/clock.h base/failpoint.h jobs/jobs.h worker/lease.h)
switch_strayed  := $(filter-out $(switch_headers),\
                   $(shell grep -lE '^[^*]*\#.*($(switch_words))' mod_amtunlock/*/*.h mod_amtunlock/*/*/*.h))
$(if $(switch_strayed),$(error a switch of the tests stands in $(switch_strayed): see apxs/variants.mk))

# $(call objects,SOURCES): where the objects of these sources are in this variant
objects = $(foreach source,$(1),$(if $(filter $(source),$(switched)),$(B),$(S))/obj/$(source:.c=.o))

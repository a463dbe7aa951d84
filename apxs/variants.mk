# SPDX-License-Identifier: Apache-2.0
# A variant is the same sources built another way, in a folder of its own: make VARIANT=asan
#   (none)    what is installed
#   check     as installed, with the test-only switches that the tests need (short times)
#   faults    check, with fault points (mod_amtunlock/base/failpoint.h), a lease of 1 s and a grace of 0.5 s
#   asan      check, with AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan      check, with ThreadSanitizer
#   coverage  check, with gcov
#   fuzz      check, by clang with both sanitizers and libFuzzer's coverage
VARIANT ?=
B := build$(if $(VARIANT),/$(VARIANT))

VARIANT_CFLAGS  := -O2
VARIANT_LDFLAGS :=
TEST_DEFINES := -DAMTUNLOCK_TEST=1
SANITIZE_COMMON := -O1 -fno-omit-frame-pointer -U_FORTIFY_SOURCE $(TEST_DEFINES)

ifeq ($(VARIANT),check)
VARIANT_CFLAGS := -O2 $(TEST_DEFINES)
else ifeq ($(VARIANT),faults)
VARIANT_CFLAGS := -O2 $(TEST_DEFINES) -DAMTUNLOCK_FAULTS=1 -DJOBS_LEASE_MS=1000 -DJOBS_GRACE_MS=500
else ifeq ($(VARIANT),asan)
VARIANT_CFLAGS  := $(SANITIZE_COMMON) -fsanitize=address,undefined -fno-sanitize-recover=undefined
VARIANT_LDFLAGS := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
VARIANT_CFLAGS  := $(SANITIZE_COMMON) -fsanitize=thread
VARIANT_LDFLAGS := -fsanitize=thread
else ifeq ($(VARIANT),coverage)
VARIANT_CFLAGS  := -O0 --coverage $(TEST_DEFINES)
VARIANT_LDFLAGS := --coverage
else ifeq ($(VARIANT),fuzz)
# libFuzzer comes with clang only
ifeq ($(origin CC),default)
CC := clang
endif
VARIANT_CFLAGS  := $(SANITIZE_COMMON) -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
VARIANT_LDFLAGS := -fsanitize=fuzzer,address,undefined
else ifneq ($(VARIANT),)
$(error no such variant: $(VARIANT) (check, faults, asan, tsan, coverage or fuzz))
endif

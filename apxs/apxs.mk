# SPDX-License-Identifier: Apache-2.0
# What httpd and the libraries say of themselves, asked once a run.
APXS       ?= apxs
PKG_CONFIG ?= pkg-config

HTTPD_CPPFLAGS := -isystem $(shell $(APXS) -q INCLUDEDIR 2>/dev/null)
HTTPD_LIBEXEC  := $(shell $(APXS) -q LIBEXECDIR 2>/dev/null)
APR_CPPFLAGS   := $(shell apr-1-config --cppflags 2>/dev/null) $(patsubst -I%,-isystem %,$(shell apr-1-config --includes 2>/dev/null))
APR_LIBS       := $(shell apu-1-config --link-ld 2>/dev/null) $(shell apr-1-config --link-ld 2>/dev/null)

# Ground and middle rooms, as far as httpd needs them, and what only the worker and the command need.
WEB_PACKAGES    := libxml-2.0 hiredis libcrypto libcares
WORKER_PACKAGES := libcurl libssl libevent libevent_pthreads jansson inih krb5 krb5-gssapi
CONSOLE_PACKAGES := libcurl jansson krb5
# Of the simulation alone; -isystem, as for the others.
LUA_CFLAGS      := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags lua5.1 2>/dev/null))

PACKAGES_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(WEB_PACKAGES) $(WORKER_PACKAGES) $(CONSOLE_PACKAGES) 2>/dev/null))
WEB_LIBS        := $(shell $(PKG_CONFIG) --libs $(WEB_PACKAGES) 2>/dev/null)
WORKER_LIBS     := $(shell $(PKG_CONFIG) --libs $(WORKER_PACKAGES) 2>/dev/null) -lcsv
CONSOLE_LIBS    := $(shell $(PKG_CONFIG) --libs $(CONSOLE_PACKAGES) 2>/dev/null)

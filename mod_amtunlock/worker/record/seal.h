/* SPDX-License-Identifier: Apache-2.0 */
/* Under which name the head of a record is sealed in Redis. */
#ifndef AMTUNLOCK_WORKER_RECORD_SEAL_H
#define AMTUNLOCK_WORKER_RECORD_SEAL_H

#include "base/digest.h"

/* Of this host's record in this file: a digest, since a path may be long. 0: OpenSSL has no memory. */
int seal_name(const char *file, char name[DIGEST_DIGITS + 1]);

#endif

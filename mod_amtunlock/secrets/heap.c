/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets in memory: in OpenSSL's secure heap, and never in a core file. */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <openssl/crypto.h>

#include "secrets/provider_priv.h"

/* Enough for the logins and passphrases of 8,000 PCs at a time and the buffers of every thread that reads; a power of
 * two. All of it is locked, and so resident. */
#define SECURE_HEAP ((size_t)2 << 20)
#define SECURE_HEAP_UNIT 32
#define HEAP_UNPROTECTED 2 /* from CRYPTO_secure_malloc_init() */

static const char *process_warning;

apr_status_t secrets_process_init(void)
{
    const struct rlimit none = {0, 0};
    int heap;

    /* not even root may attach, and no core file is written */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) {
        return APR_FROM_OS_ERROR(errno);
    }
    if (CRYPTO_secure_malloc_initialized()) {
        return APR_SUCCESS;
    }
    heap = CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_HEAP_UNIT);
    if (heap == HEAP_UNPROTECTED) {
        process_warning =
            "secrets are kept in memory that may be swapped out: 2 MiB could not be locked; raise "
            "RLIMIT_MEMLOCK (LimitMEMLOCK= in the unit)";
    }
    return heap ? APR_SUCCESS : APR_ENOMEM;
}

const char *secrets_process_warning(void)
{
    return process_warning;
}

char *secrets_copy(const char *text, apr_size_t length)
{
    char *copy = OPENSSL_secure_malloc(length + 1);

    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

void secrets_found_wipe(secrets_found_t *found)
{
    secrets_free(found->user);
    secrets_free(found->secret);
    secrets_free(found->volume);
    found->user = NULL;
    found->secret = NULL;
    found->volume = NULL;
}

void secrets_free(char *secret)
{
    if (secret != NULL) {
        OPENSSL_secure_clear_free(secret, strlen(secret));
    }
}

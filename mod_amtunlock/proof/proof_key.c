/* SPDX-License-Identifier: Apache-2.0 */
#include "proof/proof_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include "base/digest.h"
#include "base/owned_file.h"
#include "base/text.h"
#include "proof/keys_priv.h"

#define ID_LABEL "amtunlock-proof-1 key id"
#define TEXT_BYTES (2 * PROOF_BYTES + 1) /* the digits and a line feed */

static const char no_memory[] = "no memory for secrets is left, or OpenSSL has no random numbers";

static const char *key_error(const char *setting, const char *file, const char *what, int number,
                             apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s %s %s: %s", setting, file, what, text_strerror(number, pool));
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static apr_status_t key_wipe(void *key)
{
    OPENSSL_secure_clear_free(key, sizeof(proof_key_t));
    return APR_SUCCESS;
}

static int key_name(proof_key_t *key)
{
    unsigned char mac[PROOF_BYTES];
    proof_words_t words;

    proof_words_begin(&words, ID_LABEL);
    if (!proof_mac(key->bytes, &words, mac)) {
        return 0;
    }
    digest_write_hex(key->id, mac, PROOF_KEY_ID_DIGITS / 2);
    return 1;
}

/* Up to `size` bytes; a negative number and errno where it cannot be read. */
static ssize_t read_whole(int fd, char *text, size_t size)
{
    size_t have = 0;
    ssize_t count;

    while ((count = read(fd, text + have, size - have)) > 0 || (count < 0 && errno == EINTR)) {
        have += count > 0 ? (size_t)count : 0;
    }
    return count < 0 ? count : (ssize_t)have;
}

static int parse_key(proof_key_t *key, char *text, ssize_t length)
{
    if (length != TEXT_BYTES || text[TEXT_BYTES - 1] != '\n') {
        return 0;
    }
    text[TEXT_BYTES - 1] = '\0';
    return digest_parse_hex(key->bytes, PROOF_BYTES, text);
}

static const char *read_key(proof_key_t *key, char *text, int fd, const char *setting, const char *file,
                            apr_pool_t *pool)
{
    ssize_t length = read_whole(fd, text, TEXT_BYTES + 1);

    if (length < 0) {
        return key_error(setting, file, "cannot be read", errno, pool);
    }
    if (!parse_key(key, text, length)) {
        return apr_psprintf(
            pool,
            "%s %s is no proof key: it must hold 64 lower-case hex digits and a line feed, and "
            "nothing else; copy it from another worker of this service, or move it away, and "
            "the worker makes a new one at its start",
            setting, file);
    }
    return key_name(key) ? NULL : no_memory;
}

const char *proof_key_read(proof_key_t **key, const char *setting, const char *file, apr_pool_t *pool)
{
    proof_key_t *made = NULL;
    char *text = NULL;
    int fd = -1;
    const char *error = owned_file_open(&fd, setting, file, pool);

    *key = NULL;
    if (error != NULL) {
        return access(file, F_OK) != 0 && errno == ENOENT ? NULL : error;
    }
    made = OPENSSL_secure_zalloc(sizeof(*made));
    text = OPENSSL_secure_zalloc(TEXT_BYTES + 1);
    ERR_set_mark();
    error = made != NULL && text != NULL ? read_key(made, text, fd, setting, file, pool) : no_memory;
    ERR_pop_to_mark();
    close(fd);
    OPENSSL_secure_clear_free(text, TEXT_BYTES + 1);
    if (error != NULL) {
        key_wipe(made);
        return error;
    }
    apr_pool_cleanup_register(pool, made, key_wipe, apr_pool_cleanup_null);
    *key = made;
    return NULL;
}

const char *proof_key_id(const proof_key_t *key)
{
    return key->id;
}

/* ---- making -------------------------------------------------------------------------------------------- */

/* NULL, or what could not be done, and errno. */
static const char *write_key(int fd, char *text)
{
    unsigned char *bytes = OPENSSL_secure_zalloc(PROOF_BYTES);
    int made = bytes != NULL && RAND_bytes(bytes, PROOF_BYTES) == 1;

    if (made) {
        digest_write_hex(text, bytes, PROOF_BYTES);
        text[TEXT_BYTES - 1] = '\n';
    }
    OPENSSL_secure_clear_free(bytes, PROOF_BYTES);
    if (!made) {
        errno = ENOMEM;
        return "cannot be made";
    }
    errno = ENOSPC; /* where it takes a part only */
    return write(fd, text, TEXT_BYTES) == TEXT_BYTES && fsync(fd) == 0 ? NULL : "cannot be written";
}

static int sync_folder(const char *file, apr_pool_t *pool)
{
    const char *slash = strrchr(file, '/');
    apr_size_t length = slash > file ? (apr_size_t)(slash - file) : 1;
    int fd = open(apr_pstrmemdup(pool, file, length), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int good = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* A link that is there is another process's key, or an administrator's: it stays. */
static const char *place_key(const char *file, const char *draft, apr_pool_t *pool)
{
    if (link(draft, file) != 0 && errno != EEXIST) {
        return "cannot be made";
    }
    return sync_folder(file, pool) ? NULL : "is there, but its folder cannot be written to the disk";
}

/* Under its name it is whole from the first moment on: a draft beside it becomes it by a link, which replaces nothing. */
const char *proof_key_make(const char *setting, const char *file, apr_pool_t *pool)
{
    char *draft = apr_pstrcat(pool, file, ".XXXXXX", NULL);
    char *text = OPENSSL_secure_zalloc(TEXT_BYTES + 1);
    int fd = text != NULL ? mkostemp(draft, O_CLOEXEC) : -1;
    const char *what = "cannot be made";
    int number = text != NULL ? errno : ENOMEM;

    if (fd >= 0) {
        ERR_set_mark();
        what = write_key(fd, text);
        ERR_pop_to_mark();
        if (what == NULL) {
            what = place_key(file, draft, pool);
        }
        number = errno;
        close(fd);
        unlink(draft);
    }
    OPENSSL_secure_clear_free(text, TEXT_BYTES + 1);
    return what != NULL ? key_error(setting, file, what, number, pool) : NULL;
}

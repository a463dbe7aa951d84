/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of envelopes share. */
#ifndef AMTUNLOCK_TESTS_WSMAN_FIXTURE_H
#define AMTUNLOCK_TESTS_WSMAN_FIXTURE_H

#include "wsman/envelope.h"

extern const wsman_encoding_t fixture_utf8;

/* A pool of its own for each test: group_setup and group_teardown of the program, setup and teardown of a
 * test. *state is the pool. */
int fixture_group_setup(void **state);
int fixture_group_teardown(void **state);
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Reads bytes in pieces of `piece` bytes (0: all at once). NULL and *envelope, or the fault. */
const wsman_fault_t *fixture_read_bytes(const char *bytes, apr_size_t length, apr_size_t piece,
                                        const char *charset, const wsman_limits_t *limits,
                                        const wsman_envelope_t **envelope, apr_pool_t *pool);

/* Reads UTF-8 text under the default limits. */
const wsman_fault_t *fixture_read(const char *text, const wsman_envelope_t **envelope, apr_pool_t *pool);

/* The envelope of text that must be good. */
const wsman_envelope_t *fixture_envelope(const char *text, apr_pool_t *pool);

/* <s:Envelope> with all usual prefixes, around header and body content. */
const char *fixture_wrap(const char *header, const char *body, apr_pool_t *pool);

/* The headers of a complete request: To, Action, MessageID "uuid:...", ReplyTo, ResourceURI (NULL: none). */
const char *fixture_headers(const char *action, const char *resource_uri, apr_pool_t *pool);

#endif

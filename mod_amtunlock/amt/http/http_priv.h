/* SPDX-License-Identifier: Apache-2.0 */
/* What transport.c and negotiate.c need of http.c. */
#ifndef AMTUNLOCK_AMT_HTTP_HTTP_PRIV_H
#define AMTUNLOCK_AMT_HTTP_HTTP_PRIV_H

#include "amt/http/http.h"

/* All options that do not change between exchanges. Also after curl_easy_reset(), which drops libcurl's
 * nonce.
 */
CURLcode amt_http_set_options(amt_http_t *http);
/* Makes http->authorized: this line, and all others. Zero: memory is out. */
int amt_http_authorize(amt_http_t *http, const char *line);
/* Frees the ticket and its header, cancels the request for one. */
void amt_http_drop_ticket(amt_http_t *http);
/* The device's account is a Kerberos account. */
int amt_http_is_kerberos(const amt_http_t *http);

#endif

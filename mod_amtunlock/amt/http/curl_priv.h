/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AMTUNLOCK_AMT_HTTP_CURL_PRIV_H
#define AMTUNLOCK_AMT_HTTP_CURL_PRIV_H

#include <curl/curl.h>

/* Sets an option unless one failed before; `rc` keeps the first failure. */
#define AMT_SET(rc, easy, option, value)                                                                     \
    do {                                                                                                     \
        if (!(rc)) {                                                                                         \
            (rc) = curl_easy_setopt((easy), (option), (value));                                              \
        }                                                                                                    \
    } while (0)

#endif

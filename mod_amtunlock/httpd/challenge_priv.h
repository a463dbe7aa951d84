/* SPDX-License-Identifier: Apache-2.0 */
/* The 401 answers of mod_auth_gssapi, corrected before they are sent. */
#ifndef AMTUNLOCK_HTTPD_CHALLENGE_PRIV_H
#define AMTUNLOCK_HTTPD_CHALLENGE_PRIV_H

/* Registers the insert_error_filter hook. */
void amtunlock_challenge_register_hooks(void);

#endif

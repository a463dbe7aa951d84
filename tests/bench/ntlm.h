/* SPDX-License-Identifier: Apache-2.0 */
/* One log-in with NTLM, by GSS-API: gss-ntlmssp, at the server, does not take what libcurl itself would send. */
#ifndef BENCH_NTLM_H
#define BENCH_NTLM_H

#include <stddef.h>

typedef struct ntlm_t ntlm_t;

/* As the user of the file's first line, DOMAIN:USER:PASSWORD. Without one, or without the mechanism, the process ends. */
void ntlm_use(const char *file);

ntlm_t *ntlm_begin(void);

/* Writes the next "Authorization: NTLM ..." into header. challenge: what the server's "NTLM" was followed by, or "". */
void ntlm_step(ntlm_t *ntlm, const char *challenge, char *header, size_t size);

void ntlm_end(ntlm_t *ntlm);

#endif

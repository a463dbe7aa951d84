/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the proof: the sector that only one session's CD holds (README.md, section 2). */
#ifndef AMTUNLOCK_PROOF_SECTOR_PRIV_H
#define AMTUNLOCK_PROOF_SECTOR_PRIV_H

/* Writes a session's sector; `s` are its 32 bytes. 0 if OpenSSL fails. */
int sector_write(unsigned char sector[], const unsigned char s[], const char *system_id);

#endif

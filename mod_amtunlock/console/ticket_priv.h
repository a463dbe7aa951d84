/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the command: the Kerberos ticket of the user that runs it. */
#ifndef AMTUNLOCK_CONSOLE_TICKET_PRIV_H
#define AMTUNLOCK_CONSOLE_TICKET_PRIV_H

/* Nonzero if there is a ticket, or a client keytab to get one with. Whether it is still valid shows when it
 * is used. Asked before GSS-API is: MIT Kerberos 1.20's krb5_cccol_have_content() frees a principal that it
 * never read where KRB5CCNAME names a file that is not there, and the process with it. */
int console_has_ticket(void);

#endif

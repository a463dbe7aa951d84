/* SPDX-License-Identifier: Apache-2.0 */
#include "amt/http/target.h"

#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>

#include "amt/kerberos/ticket.h"
#include "base/digest.h"

static const apr_interval_time_t default_connect_timeout = 5 * APR_USEC_PER_SEC;
static const apr_interval_time_t default_call_timeout = 15 * APR_USEC_PER_SEC;

static apr_interval_time_t or_default(apr_interval_time_t given, apr_interval_time_t otherwise)
{
    return given > 0 ? given : otherwise;
}

void amt_target_copy(amt_target_t *target, const amt_target_t *from, apr_pool_t *pool)
{
    *target = *from;
    target->fqdn = apr_pstrdup(pool, from->fqdn);
    target->address = apr_pstrdup(pool, from->address);
    target->pin = apr_pstrdup(pool, from->pin);
    target->group = apr_pstrdup(pool, from->group != NULL ? from->group : "");
    target->ca_file = apr_pstrdup(pool, from->ca_file);
    target->crl_file = apr_pstrdup(pool, from->crl_file);
    target->certificate_file = apr_pstrdup(pool, from->certificate_file);
    target->key_file = apr_pstrdup(pool, from->key_file);
    target->connect_timeout = or_default(from->connect_timeout, default_connect_timeout);
    target->call_timeout = or_default(from->call_timeout, default_call_timeout);
}

const char *amt_target_account(const amt_target_t *target)
{
    return target->tickets != NULL ? amt_tickets_principal(target->tickets) : target->user;
}

static int is_host_name(const char *name)
{
    apr_size_t length = name != NULL ? strlen(name) : 0;

    return length > 0 && length <= 253 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == length;
}

int amt_address_family(const char *address)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    if (address == NULL) {
        return 0;
    }
    if (inet_pton(AF_INET, address, bytes) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, address, bytes) == 1 ? 6 : 0;
}

apr_status_t amt_target_check(const amt_target_t *target, unsigned char pin[DIGEST_BYTES])
{
    int has_account = target->tickets != NULL || (target->user != NULL && target->password != NULL);

    if (!is_host_name(target->fqdn) || amt_address_family(target->address) == 0 || !has_account) {
        return APR_EINVAL;
    }
    switch (target->tls) {
    case AMT_TLS_PIN:
        return target->pin != NULL && digest_parse_hex(pin, DIGEST_BYTES, target->pin) ? APR_SUCCESS
                                                                                       : APR_EINVAL;
    case AMT_TLS_CA:
    case AMT_TLS_LEGACY:
        return target->ca_file != NULL ? APR_SUCCESS : APR_EINVAL;
    case AMT_TLS_NONE:
        return APR_SUCCESS;
    }
    return APR_EINVAL;
}

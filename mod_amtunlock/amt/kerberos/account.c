/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's own account in the realm: its key, and the ticket-granting ticket that all of its threads
 * share. */
#include "amt/kerberos/account_priv.h"

#include <apr_strings.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/owned_file.h"
#include "base/text.h"

/* A new ticket-granting ticket is requested when 1/RENEW_SHARE of the old one's life is left, and while
 * the old one is valid at most every RENEW_PAUSE seconds. */
enum { RENEW_SHARE = 4, RENEW_PAUSE = 30 };
/* A KDC that did not answer is left alone for this many seconds: each thread that asks it blocks for some. */
enum { OUTAGE = 2 };
/* So many domains whose KDC did not answer are remembered. */
enum { OUTAGES = 16 };
/* A ticket-granting ticket that ends within so many seconds counts as expired. */
enum { LAST_SECONDS = 30 };

typedef struct {
    char domain[256]; /* of the devices, "" is the account's own KDC, which all need */
    apr_time_t until; /* by clock_monotonic() */
    char why[200];
} outage_t;

struct amt_tickets_t {
    atomic_int holders;
    const char *keytab;    /* FILE:PATH */
    const char *principal; /* with its realm */

    pthread_mutex_t lock; /* of all below */
    krb5_context context;
    krb5_principal client;
    krb5_creds *granting; /* NULL: none yet */
    time_t renew_at;
    outage_t outages[OUTAGES];
};

/* ---- error messages ------------------------------------------------------------------------------- */

/* What an administrator can do about the krb5 library's usual errors. Others are reported in its words
 * only. */
static const struct {
    krb5_error_code code;
    amt_status_e status;
    const char *advice;
} meanings[] = {
    {KRB5_KDC_UNREACH, AMT_NO_TICKET, "; check the KDC and the way to it"},
    {KRB5_REALM_UNKNOWN, AMT_NO_TICKET, "; check krb5.conf, or the realm's records in DNS"},
    {KRB5_REALM_CANT_RESOLVE, AMT_NO_TICKET, "; check krb5.conf and DNS"},
    {KRB5KDC_ERR_SVC_UNAVAILABLE, AMT_NO_TICKET, "; check the KDC"},
    {KRB5KRB_AP_ERR_SKEW, AMT_AUTH_FAILED, "; set this host's clock and the KDC's right"},
    {KRB5_KDCREP_SKEW, AMT_AUTH_FAILED, "; set this host's clock and the KDC's right"},
    {KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, AMT_AUTH_FAILED,
     "; give the PC this name, with the port, in the domain"},
    {KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, AMT_AUTH_FAILED, "; check kerberos-principal"},
    {KRB5KDC_ERR_PREAUTH_FAILED, AMT_AUTH_FAILED, "; export the keytab anew"},
    {KRB5KRB_AP_ERR_BAD_INTEGRITY, AMT_AUTH_FAILED, "; export the keytab anew"},
    {KRB5_KT_NOTFOUND, AMT_AUTH_FAILED, "; export the keytab anew"},
    {KRB5KDC_ERR_CLIENT_REVOKED, AMT_AUTH_FAILED, "; the account is disabled or locked in the domain"},
};

void amt_krb5_say(char *text, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    apr_vsnprintf(text, size, format, args);
    va_end(args);
    text_mask_non_ascii(text);
}

amt_status_e amt_krb5_say_error(krb5_context context, krb5_error_code code, char *text, size_t size)
{
    const char *words = krb5_get_error_message(context, code);
    const char *advice = "";
    amt_status_e status = AMT_AUTH_FAILED;

    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (meanings[i].code == code) {
            status = meanings[i].status;
            advice = meanings[i].advice;
        }
    }
    amt_krb5_say(text, size, "%s%s", words, advice);
    krb5_free_error_message(context, words);
    return status;
}

/* ---- the keytab ------------------------------------------------------------------------------ */

/* Reads the keytab's entries. If no principal is configured, takes the entries' own; *several is set if they
 * have more than one. */
static krb5_error_code search_keytab(amt_tickets_t *tickets, krb5_keytab keytab, int *found, int *several)
{
    krb5_context context = tickets->context;
    int wanted = tickets->client != NULL;
    krb5_keytab_entry entry;
    krb5_kt_cursor cursor;
    krb5_error_code code = krb5_kt_start_seq_get(context, keytab, &cursor);

    *found = *several = 0;
    if (code) {
        return code;
    }
    while ((code = krb5_kt_next_entry(context, keytab, &entry, &cursor)) == 0) {
        if (tickets->client == NULL) {
            code = krb5_copy_principal(context, entry.principal, &tickets->client);
        }
        if (!code && krb5_principal_compare(context, tickets->client, entry.principal)) {
            *found = 1;
        }
        else if (!wanted) {
            *several = 1;
        }
        krb5_free_keytab_entry_contents(context, &entry);
        if (code) {
            break;
        }
    }
    krb5_kt_end_seq_get(context, keytab, &cursor);
    return code == KRB5_KT_END ? 0 : code;
}

static const char *read_keytab(amt_tickets_t *tickets, const char *path, const char *principal,
                               apr_pool_t *pool)
{
    krb5_keytab keytab = NULL;
    int found = 0;
    int several = 0;
    char why[200];
    krb5_error_code code = krb5_kt_resolve(tickets->context, tickets->keytab, &keytab);

    if (!code) {
        code = search_keytab(tickets, keytab, &found, &several);
        krb5_kt_close(tickets->context, keytab);
    }
    if (code) {
        amt_krb5_say_error(tickets->context, code, why, sizeof(why));
        return apr_psprintf(pool, "kerberos-keytab %s cannot be read: %s", path, why);
    }
    if (several) {
        return apr_psprintf(pool,
                            "kerberos-keytab %s has keys of several principals: say by kerberos-principal "
                            "which the worker is",
                            path);
    }
    return found ? NULL
                 : apr_psprintf(pool, "kerberos-keytab %s has no key of %s", path,
                                principal ? principal : "anybody");
}

static const char *open_account(amt_tickets_t *tickets, const char *path, const char *principal,
                                apr_pool_t *pool)
{
    char why[200];
    char *name = NULL;
    const char *error = NULL;
    krb5_error_code code = krb5_init_context(&tickets->context);

    if (code) {
        amt_krb5_say_error(NULL, code, why, sizeof(why));
        return apr_psprintf(pool, "krb5.conf cannot be used: %s", why);
    }
    code = principal != NULL ? krb5_parse_name(tickets->context, principal, &tickets->client) : 0;
    if (code) {
        amt_krb5_say_error(tickets->context, code, why, sizeof(why));
        return apr_psprintf(pool, "kerberos-principal %s cannot be: %s", principal, why);
    }
    error = read_keytab(tickets, path, principal, pool);
    if (error == NULL && krb5_unparse_name(tickets->context, tickets->client, &name)) {
        error = "out of memory";
    }
    tickets->principal = name;
    return error;
}

const char *amt_tickets_open(amt_tickets_t **out, const char *keytab, const char *principal, apr_pool_t *pool)
{
    const char *error = owned_file_check("kerberos-keytab", keytab, pool);
    amt_tickets_t *tickets;
    size_t room = strlen(keytab) + sizeof("FILE:");
    char *name;

    *out = NULL;
    if (error != NULL) {
        return error;
    }
    tickets = calloc(1, sizeof(*tickets));
    name = malloc(room);
    if (tickets == NULL || name == NULL) {
        free(tickets);
        free(name);
        return "out of memory";
    }
    apr_snprintf(name, room, "FILE:%s", keytab);
    tickets->keytab = name;
    atomic_init(&tickets->holders, 1);
    pthread_mutex_init(&tickets->lock, NULL);
    error = open_account(tickets, keytab, principal, pool);
    if (error != NULL) {
        amt_tickets_drop(tickets);
        return error;
    }
    *out = tickets;
    return NULL;
}

amt_tickets_t *amt_tickets_hold(amt_tickets_t *tickets)
{
    atomic_fetch_add(&tickets->holders, 1);
    return tickets;
}

void amt_tickets_drop(amt_tickets_t *tickets)
{
    if (atomic_fetch_sub(&tickets->holders, 1) != 1) {
        return;
    }
    if (tickets->context != NULL) {
        krb5_free_creds(tickets->context, tickets->granting); /* wipes its key */
        krb5_free_principal(tickets->context, tickets->client);
        krb5_free_unparsed_name(tickets->context, (char *)tickets->principal);
        krb5_free_context(tickets->context);
    }
    pthread_mutex_destroy(&tickets->lock);
    free((char *)tickets->keytab);
    free(tickets);
}

const char *amt_tickets_principal(const amt_tickets_t *tickets)
{
    return tickets->principal;
}

/* ---- the ticket-granting ticket (under the lock) --------------------------------------------- */

static krb5_error_code request_granting(amt_tickets_t *tickets, krb5_creds *creds)
{
    krb5_context context = tickets->context;
    krb5_get_init_creds_opt *options = NULL;
    krb5_keytab keytab = NULL;
    krb5_error_code code = krb5_kt_resolve(context, tickets->keytab, &keytab);

    if (!code) {
        code = krb5_get_init_creds_opt_alloc(context, &options);
    }
    if (!code) {
        krb5_get_init_creds_opt_set_forwardable(options, 0);
        krb5_get_init_creds_opt_set_proxiable(options, 0);
        code = krb5_get_init_creds_keytab(context, creds, tickets->client, keytab, 0, NULL, options);
    }
    krb5_get_init_creds_opt_free(context, options);
    if (keytab != NULL) {
        krb5_kt_close(context, keytab);
    }
    return code;
}

/* Times of Kerberos are 32 bits wide and go on to 2106. */
static time_t end_of(const krb5_creds *creds)
{
    return (time_t)(apr_uint32_t)creds->times.endtime;
}

static void keep_granting(amt_tickets_t *tickets, krb5_creds *creds)
{
    time_t now = time(NULL);
    krb5_creds *kept = NULL;

    if (krb5_copy_creds(tickets->context, creds, &kept) == 0) {
        krb5_free_creds(tickets->context, tickets->granting);
        tickets->granting = kept;
        tickets->renew_at = end_of(creds);
        tickets->renew_at -= (tickets->renew_at - now) / RENEW_SHARE;
    }
    krb5_free_cred_contents(tickets->context, creds);
}

static int granting_is_good(const amt_tickets_t *tickets)
{
    return tickets->granting != NULL && time(NULL) + LAST_SECONDS < end_of(tickets->granting);
}

/* What Kerberos maps to a realm, where krb5.conf says nothing of the host itself. */
static const char *domain_of(const char *fqdn)
{
    const char *dot = strchr(fqdn, '.');

    return dot != NULL ? dot + 1 : fqdn;
}

/* In the place of the one that ended first, or ends first, where the domain has none. */
static void note_outage(amt_tickets_t *tickets, const char *domain, const char *why)
{
    outage_t *outage = &tickets->outages[0];

    for (outage_t *one = tickets->outages; one < tickets->outages + OUTAGES; one++) {
        if (one->until != 0 && strcmp(one->domain, domain) == 0) {
            outage = one;
            break;
        }
        outage = one->until < outage->until ? one : outage;
    }
    outage->until = clock_monotonic() + apr_time_from_sec(OUTAGE);
    apr_cpystrn(outage->domain, domain, sizeof(outage->domain));
    apr_cpystrn(outage->why, why, sizeof(outage->why));
}

/* NULL: none that would matter to this domain. */
static const outage_t *find_outage(const amt_tickets_t *tickets, const char *domain)
{
    apr_time_t now = clock_monotonic();

    for (const outage_t *one = tickets->outages; one < tickets->outages + OUTAGES; one++) {
        if (now < one->until && (one->domain[0] == '\0' || strcmp(one->domain, domain) == 0)) {
            return one;
        }
    }
    return NULL;
}

/* Gets a ticket-granting ticket if there is none or it is old. If the KDC gives no new one, the old one
 * serves as long as it is valid. */
static amt_status_e ensure_granting(amt_tickets_t *tickets, char *why, size_t room)
{
    krb5_creds creds = {0};
    krb5_error_code code;
    amt_status_e status;

    if (granting_is_good(tickets) && time(NULL) < tickets->renew_at) {
        return AMT_OK;
    }
    code = request_granting(tickets, &creds);
    if (!code) {
        keep_granting(tickets, &creds);
        return tickets->granting != NULL ? AMT_OK : AMT_NO_TICKET;
    }
    if (granting_is_good(tickets)) {
        tickets->renew_at = time(NULL) + RENEW_PAUSE;
        return AMT_OK;
    }
    status = amt_krb5_say_error(tickets->context, code, why, room);
    if (status == AMT_NO_TICKET) {
        note_outage(tickets, "", why);
    }
    return status;
}

amt_status_e amt_account_granting(amt_tickets_t *tickets, krb5_context context, const char *fqdn,
                                  krb5_creds **creds, char *why, size_t room)
{
    const outage_t *outage;
    amt_status_e status;

    pthread_mutex_lock(&tickets->lock);
    if ((outage = find_outage(tickets, domain_of(fqdn))) != NULL) {
        apr_cpystrn(why, outage->why, room);
        status = AMT_NO_TICKET;
    }
    else {
        status = ensure_granting(tickets, why, room);
    }
    if (status == AMT_OK && krb5_copy_creds(context, tickets->granting, creds)) {
        apr_cpystrn(why, "out of memory", room);
        status = AMT_NO_TICKET;
    }
    pthread_mutex_unlock(&tickets->lock);
    return status;
}

void amt_account_failed(amt_tickets_t *tickets, const char *fqdn, amt_status_e status, krb5_error_code code,
                        const char *why)
{
    pthread_mutex_lock(&tickets->lock);
    if (status == AMT_NO_TICKET) {
        note_outage(tickets, domain_of(fqdn), why);
    }
    else if (code != KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN) {
        krb5_free_creds(tickets->context, tickets->granting);
        tickets->granting = NULL;
    }
    pthread_mutex_unlock(&tickets->lock);
}

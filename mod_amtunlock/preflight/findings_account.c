/* SPDX-License-Identifier: Apache-2.0 */
/* Which realms the account has, lacks, and has too many of. AMT lists realms to administrators only; for
 * all others it shows in what they were denied.
 */
#include "preflight/findings_report_priv.h"

#include <apr_strings.h>

#define BIT(realm) ((apr_uint32_t)1 << (realm))

/* What an unlock needs. General Info is for the UUID, the version and the control mode. */
static const struct {
    int realm;
    int with_sessions; /* only methods with redirection sessions need it */
    int only_helps;    /* some firmware unlocks without */
    amt_read_e kind;   /* is denied without it */
    const char *use;
} needs[] = {
    {AMT_REALM_REDIRECTION, 1, 0, AMT_READ_REDIRECTION, "for the redirection service and its sessions"},
    {AMT_REALM_REMOTE_CONTROL, 0, 0, AMT_READ_BOOT, "for power and boot options"},
    {AMT_REALM_GENERAL_INFO, 0, 1, AMT_READ_IDENTITY, "for UUID, version and control mode"},
};

#define NEEDS ((int)(sizeof(needs) / sizeof(needs[0])))

static int need_applies(const findings_t *findings, int i)
{
    return !needs[i].with_sessions || findings->unlock->method->sessions != 0;
}

static apr_uint32_t needed_realms(const findings_t *findings)
{
    apr_uint32_t realms = 0;

    for (int i = 0; i < NEEDS; i++) {
        realms |= need_applies(findings, i) ? BIT(needs[i].realm) : 0;
    }
    return realms;
}

static const char *realm_names(const findings_t *findings, apr_uint32_t realms)
{
    apr_array_header_t *found = apr_array_make(findings->pool, 8, sizeof(const char *));
    const char *text = "";

    for (int realm = 0; realm < AMT_REALMS; realm++) {
        if (realms & BIT(realm)) {
            const char *name = amt_realm_name(realm);

            APR_ARRAY_PUSH(found, const char *) =
                name != NULL ? name : apr_psprintf(findings->pool, "realm %d", realm);
        }
    }
    for (int i = 0; i < found->nelts; i++) {
        text = apr_pstrcat(findings->pool, text, i ? ", " : "", APR_ARRAY_IDX(found, i, const char *), NULL);
    }
    return text;
}

static void say_missing(findings_t *findings, int i)
{
    const char *text = apr_psprintf(findings->pool, "it lacks the realm %s, %s",
                                    amt_realm_name(needs[i].realm), needs[i].use);

    if (needs[i].only_helps) {
        findings_say(findings, FINDING_ACCOUNT, FINDING_WARNING, "%s", text);
    }
    else {
        findings_fail(findings, FINDING_ACCOUNT, unlock_reason_of_amt(AMT_REFUSED, 1), text);
    }
}

/* ---- where AMT lists them ------------------------------------------------------------------------------ */

static void judge_listed(findings_t *findings)
{
    apr_uint32_t realms = findings->facts->account.realms;
    apr_uint32_t more = realms & ~needed_realms(findings);

    findings_say(findings, FINDING_ACCOUNT, FINDING_OK, "its realms: %s", realm_names(findings, realms));
    for (int i = 0; i < NEEDS; i++) {
        /* administrators may do more than what is listed */
        int lacks = realms & BIT(AMT_REALM_ADMINISTRATION) ? findings_denied(findings, needs[i].kind)
                                                           : !(realms & BIT(needs[i].realm));
        if (need_applies(findings, i) && lacks) {
            say_missing(findings, i);
        }
    }
    if (more != 0) {
        findings_say(findings, FINDING_ACCOUNT, FINDING_WARNING,
                     "more than is needed: take the realms %s from it", realm_names(findings, more));
    }
}

/* ---- where it does not --------------------------------------------------------------------------------- */

/* Without General Info the version is hidden; other reasons for that are rare. */
static int was_denied(const findings_t *findings, int i)
{
    int hidden = needs[i].realm == AMT_REALM_GENERAL_INFO && findings_saw(findings, AMT_READ_IDENTITY) &&
                 findings->facts->amt.identity.version[0] == '\0';

    return hidden || findings_denied(findings, needs[i].kind);
}

static void judge_by_denials(findings_t *findings)
{
    int missing = 0;

    for (int i = 0; i < NEEDS; i++) {
        if (need_applies(findings, i) && was_denied(findings, i)) {
            say_missing(findings, i);
            missing++;
        }
    }
    if (missing == 0) {
        findings_say(findings, FINDING_ACCOUNT, FINDING_OK,
                     "what method %s reads needs the realms %s, and was read; it is not an administrator, so "
                     "AMT does not list its realms: of superfluous ones nothing more can be said",
                     inventory_method_name(findings->facts->system->method),
                     realm_names(findings, needed_realms(findings)));
    }
}

void findings_judge_account(findings_t *findings)
{
    const amt_account_t *account = &findings->facts->account;

    if (!findings->facts->account_asked) {
        return;
    }
    if (account->administrator) {
        findings_say(
            findings, FINDING_ACCOUNT, FINDING_WARNING,
            "more than is needed: it is AMT's own administrator; give the worker an account of its own "
            "with the realms %s",
            realm_names(findings, needed_realms(findings)));
    }
    else if (account->found) {
        judge_listed(findings);
    }
    else if (account->lists) {
        findings_say(findings, FINDING_ACCOUNT, FINDING_WARNING,
                     "more than is needed: it may read AMT's list of users, so it is an administrator or has "
                     "the realm ACL; which realms are its own cannot be told%s",
                     findings->facts->system->auth == INVENTORY_KERBEROS
                         ? ", since AMT lists accounts of a domain by SID"
                         : "");
    }
    else {
        judge_by_denials(findings);
    }
}

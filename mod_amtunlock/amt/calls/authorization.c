/* SPDX-License-Identifier: Apache-2.0 */
/* What our account may do: looked up in the device's list of users, where this account may read it. */
#include <string.h>

#include "amt/calls/call_priv.h"
#include "wsman/values.h"

#define AUTHORIZATION WSMAN_URI_AMT_CLASS "AMT_AuthorizationService"

enum { HIGHEST_HANDLE = 0x7fffffff };

static const char *const realm_names[AMT_REALMS] = {
    [AMT_REALM_REDIRECTION] = "Redirection",
    [AMT_REALM_ADMINISTRATION] = "PT Administration",
    [4] = "Hardware Asset",
    [AMT_REALM_REMOTE_CONTROL] = "Remote Control",
    [6] = "Storage",
    [7] = "Event Manager",
    [8] = "Storage Admin",
    [9] = "Agent Presence Local",
    [10] = "Agent Presence Remote",
    [11] = "Circuit Breaker",
    [12] = "Network Time",
    [AMT_REALM_GENERAL_INFO] = "General Info",
    [14] = "Firmware Update",
    [15] = "EIT",
    [16] = "Local User Notification",
    [17] = "Endpoint Access Control",
    [18] = "Endpoint Access Control Admin",
    [19] = "Event Log Reader",
    [20] = "Audit Log",
    [21] = "ACL",
    [24] = "Local System",
};

const char *amt_realm_name(int realm)
{
    return realm >= 0 && realm < AMT_REALMS ? realm_names[realm] : NULL;
}

/* ---- the administrator ----------------------------------------------------------------------- */

/* A ticket is for an account of the domain, even where a digest user has the same name. */
static int is_our_account(const amt_call_t *call, const char *name)
{
    const amt_target_t *target = &call->device->http.target;

    return target->tickets == NULL && name != NULL && strcmp(name, target->user) == 0;
}

static amt_status_e read_administrator(amt_call_t *call, const wsman_element_t *payload)
{
    amt_account_t *account = call->out;
    const char *name = wsman_child_text(payload, NULL, "Username", call->pool);

    if (name == NULL) {
        return amt_answer_garbage(call, "it names no administrator");
    }
    account->lists = 1;
    account->administrator = is_our_account(call, name);
    return AMT_OK;
}

/* ---- the other users ------------------------------------------------------------------------- */

static int is_wanted(const amt_call_t *call)
{
    const amt_account_t *account = call->out;

    return !account->administrator;
}

static void write_start(const amt_call_t *call, wsman_writer_t *writer)
{
    (void)call;
    wsman_property_uint(writer, "StartIndex", 1);
}

static amt_status_e read_handles(amt_call_t *call, const wsman_element_t *payload)
{
    amt_account_t *account = call->out;
    apr_uint64_t number = 0;

    account->lists = 1;
    for (const wsman_element_t *handle = wsman_child(payload, NULL, "Handles"); handle != NULL;
         handle = wsman_next_same(handle)) {
        if (wsman_parse_uint(wsman_text(handle, call->pool), HIGHEST_HANDLE, &number) != APR_SUCCESS) {
            return amt_answer_garbage(call, "the handle of a user is no number");
        }
        if (account->user_count == AMT_MAX_USERS) {
            return amt_answer_garbage(call, "it lists more users than there can be");
        }
        account->users[account->user_count++] = (unsigned int)number;
    }
    return AMT_OK;
}

static int is_unseen(const amt_call_t *call)
{
    const amt_account_t *account = call->out;

    return !account->found && call->device->http.target.tickets == NULL && call->taken < account->user_count;
}

static void write_handle(const amt_call_t *call, wsman_writer_t *writer)
{
    const amt_account_t *account = call->out;

    wsman_property_uint(writer, "Handle", account->users[call->taken]);
}

static amt_status_e read_realms(amt_call_t *call, const wsman_element_t *payload)
{
    amt_account_t *account = call->out;
    apr_uint64_t number = 0;

    for (const wsman_element_t *realm = wsman_child(payload, NULL, "Realms"); realm != NULL;
         realm = wsman_next_same(realm)) {
        if (wsman_parse_uint(wsman_text(realm, call->pool), AMT_REALMS - 1, &number) != APR_SUCCESS) {
            return amt_answer_garbage(call, "a realm is no number");
        }
        account->realms |= (apr_uint32_t)1 << number;
    }
    account->found = 1;
    return AMT_OK;
}

/* Users of a domain have a SID in the place of a name. */
static amt_status_e read_user(amt_call_t *call, const wsman_element_t *payload)
{
    const char *name = wsman_child_text(payload, NULL, "DigestUsername", call->pool);

    return is_our_account(call, name) ? read_realms(call, payload) : AMT_OK;
}

/* ---- the call -------------------------------------------------------------------------------- */

static const amt_code_t codes[] = {
    {1, AMT_CODE_FAILED, "internal error"},
    {2, AMT_CODE_FAILED, "not ready: AMT is still starting"},
    {16, AMT_CODE_FAILED, "not permitted"},
    {36, AMT_CODE_FAILED, "invalid parameter"},
    {2053, AMT_CODE_FAILED, "invalid handle"},
    {2066, AMT_CODE_FAILED, "not supported"},
    {0, 0, NULL},
};

/* All of it may be refused: only administrators may read it. */
static const amt_step_t account_steps[] = {
    {.uri = AUTHORIZATION,
     .verb = AMT_VERB_METHOD,
     .method = "GetAdminAclEntry",
     .optional = 1,
     .codes = codes,
     .read = read_administrator},
    {.uri = AUTHORIZATION,
     .verb = AMT_VERB_METHOD,
     .method = "EnumerateUserAclEntries",
     .optional = 1,
     .needed = is_wanted,
     .codes = codes,
     .write = write_start,
     .read = read_handles},
    {.uri = AUTHORIZATION,
     .verb = AMT_VERB_METHOD,
     .method = "GetUserAclEntryEx",
     .optional = 1,
     .needed = is_unseen,
     .again = is_unseen,
     .codes = codes,
     .write = write_handle,
     .read = read_user},
    {.uri = NULL},
};

void amt_read_account(amt_device_t *device, amt_account_t *account, amt_done_fn done, void *baton)
{
    amt_call_t *call = amt_call_create(device, account_steps, account, done, baton);

    if (call != NULL) {
        memset(account, 0, sizeof(*account));
        amt_call_begin(call);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* See intent.h. */
#include "unlock/intent.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "unlock/exits_priv.h"

#define VERIFY_AT_LEAST apr_time_from_sec(5)
#define VERIFY_AT_MOST apr_time_from_sec((apr_int64_t)3 * 3600)

/* ---- words --------------------------------------------------------------------------------------------- */

/* In the order in which firmware lists them. */
static const struct {
    int boot;
    const char *name;
} boots[] = {
    {AMT_START_SOL, "UseSOL"},
    {AMT_START_SOL | AMT_START_IMAGE, "UseIDER,UseSOL"},
};

#define BOOTS (sizeof(boots) / sizeof(boots[0]))

const char *intent_boot_name(int boot)
{
    for (size_t i = 0; i < BOOTS; i++) {
        if (boots[i].boot == boot) {
            return boots[i].name;
        }
    }
    return "";
}

static int boot_of_name(const char *name)
{
    for (size_t i = 0; name != NULL && i < BOOTS; i++) {
        if (strcmp(boots[i].name, name) == 0) {
            return boots[i].boot;
        }
    }
    return 0;
}

const char *intent_device(const char *uuid, const char *certificate, apr_pool_t *pool)
{
    if (!inventory_uuid_is_unique(uuid)) {
        return "";
    }
    return apr_pstrcat(pool, uuid, certificate[0] != '\0' ? "/" : "", certificate, NULL);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static json_t *pack_redirection(const amt_redirection_t *redirection)
{
    return json_pack("{s:i, s:b}", "state", redirection->state, "listener", redirection->listener);
}

/* What will be set, each with what stood before. */
static void add_acts(json_t *intent, const unlock_t *unlock)
{
    const unlock_plan_t *plan = &unlock->plan;

    if (plan->power != 0) {
        json_object_set_new(intent, "power", json_integer(plan->power));
        json_object_set_new(intent, "power_before", json_integer(plan->power_before));
    }
    if (plan->power == AMT_POWER_RESET) {
        json_object_set_new(intent, "reset", json_true());
    }
    if (plan->clears_boot || plan->boot != 0) {
        json_object_set_new(intent, "clear_boot", json_boolean(plan->clears_boot));
        json_object_set_new(intent, "boot", json_string(intent_boot_name(plan->boot)));
        json_object_set_new(intent, "boot_before", json_string(unlock->facts.boot.summary));
    }
    if (unlock_changes_redirection(plan)) {
        json_object_set_new(intent, "redirection", pack_redirection(&plan->redirection));
        json_object_set_new(intent, "redirection_before", pack_redirection(&plan->redirection_before));
    }
    if (plan->types) {
        json_object_set_new(intent, "passphrase", json_true());
    }
    if (plan->boot_fence[0] != '\0') {
        json_object_set_new(intent, "boot_fence", json_string(plan->boot_fence));
        json_object_set_new(intent, "proof_key", json_string(plan->proof_key));
    }
    if (unlock->task->taken_over) { /* what was done before it */
        json_object_set_new(intent, "marks",
                            json_string(jobs_marks_words(unlock->task->marks, unlock->pool)));
    }
}

const char *intent_write(const unlock_t *unlock)
{
    char *text = NULL;
    const char *kept;
    /* Wall clock time: it may be read on another machine, and is bounded there. */
    json_t *intent =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "method", inventory_method_name(unlock->system->method),
                  "address", unlock->address, "device", unlock->facts.identity.uuid, "certificate",
                  unlock->facts.identity.certificate, "written", (json_int_t)apr_time_sec(apr_time_now()),
                  "look_seconds", (json_int_t)apr_time_sec(unlock->verify_timeout));

    if (intent != NULL) {
        add_acts(intent, unlock);
        text = json_dumps(intent, JSON_COMPACT);
    }
    kept = apr_pstrdup(unlock->pool, text);
    free(text);
    json_decref(intent);
    return kept;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static amt_redirection_t unpack_redirection(const json_t *redirection)
{
    json_int_t state = json_integer_value(json_object_get(redirection, "state"));

    if (state < AMT_REDIRECTION_OFF || state > AMT_REDIRECTION_BOTH) {
        return (amt_redirection_t){0};
    }
    return (amt_redirection_t){.state = (int)state,
                               .listener = json_is_true(json_object_get(redirection, "listener"))};
}

/* A word of `characters` alone which fits, or nothing. */
static void read_word(const json_t *word, const char *characters, char *kept, size_t size)
{
    size_t length = json_string_length(word);

    kept[0] = '\0';
    if (length > 0 && length < size && strspn(json_string_value(word), characters) == length) {
        memcpy(kept, json_string_value(word), length + 1);
    }
}

static int power_of_number(json_int_t power)
{
    return power == AMT_POWER_ON || power == AMT_POWER_RESET ? (int)power : 0;
}

static void read_plan(const json_t *intent, unlock_plan_t *plan)
{
    amt_redirection_t set = unpack_redirection(json_object_get(intent, "redirection"));
    amt_redirection_t before = unpack_redirection(json_object_get(intent, "redirection_before"));

    plan->power = power_of_number(json_integer_value(json_object_get(intent, "power")));
    plan->power_before = (int)json_integer_value(json_object_get(intent, "power_before"));
    plan->types = json_is_true(json_object_get(intent, "passphrase"));
    plan->boot = boot_of_name(json_string_value(json_object_get(intent, "boot")));
    /* Taking back only switches off what was switched on: an intent that would do more is not one of ours. */
    if (before.state != 0 && set.state != 0 && (before.state | set.state) == set.state &&
        before.listener <= set.listener) {
        plan->redirection = set;
        plan->redirection_before = before;
    }
    read_word(json_object_get(intent, "boot_fence"), "0123456789", plan->boot_fence,
              sizeof(plan->boot_fence));
    read_word(json_object_get(intent, "proof_key"), "0123456789abcdef", plan->proof_key,
              sizeof(plan->proof_key));
}

apr_interval_time_t intent_read(const char *text, unlock_plan_t *plan, apr_interval_time_t most)
{
    json_t *intent = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_int_t written = json_integer_value(json_object_get(intent, "written"));
    json_int_t seconds = json_integer_value(json_object_get(intent, "look_seconds"));
    json_int_t now = apr_time_sec(apr_time_now());
    apr_interval_time_t left = most;

    read_plan(intent, plan);
    json_decref(intent);
    if (written > 0 && written <= now && seconds > 0 && seconds <= apr_time_sec(most)) {
        left = now - written < seconds ? apr_time_from_sec(seconds - (now - written)) : 0;
    }
    return left < VERIFY_AT_LEAST ? VERIFY_AT_LEAST : left;
}

int intent_is_of(const char *text, const char *uuid, const char *certificate)
{
    json_t *intent = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const char *device = json_string_value(json_object_get(intent, "device"));
    const char *shown = json_string_value(json_object_get(intent, "certificate"));
    int same_device = device == NULL || strcmp(device, uuid) == 0 || inventory_uuid_is(device, uuid);
    int may_tell = shown != NULL && shown[0] != '\0' && certificate[0] != '\0';
    int is_of = same_device && (!may_tell || strcmp(shown, certificate) == 0);

    json_decref(intent);
    return is_of;
}

const char *intent_address(const char *text, apr_pool_t *pool)
{
    json_t *intent = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const char *address = apr_pstrdup(pool, json_string_value(json_object_get(intent, "address")));

    json_decref(intent);
    return address;
}

void intent_restore(jobs_change_t *change, const char *act, apr_pool_t *pool)
{
    unlock_plan_t unused = {0};
    json_t *intent = act != NULL ? json_loads(act, 0, NULL) : NULL;
    const char *device = json_string_value(json_object_get(intent, "device"));
    const char *certificate = json_string_value(json_object_get(intent, "certificate"));

    change->change = JOBS_RESTORE_INTENT;
    change->device =
        device != NULL ? intent_device(device, certificate != NULL ? certificate : "", pool) : "";
    change->intent = act != NULL ? apr_pstrdup(pool, act) : "";
    change->step_deadline = intent_read(change->intent, &unused, VERIFY_AT_MOST);
    json_decref(intent);
}

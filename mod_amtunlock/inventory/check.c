/* SPDX-License-Identifier: Apache-2.0 */
/* From the cells of a line to a system: one table of columns, one check each. */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "inventory/row_priv.h"
#include "jobs/name.h"

#define GROUP_NAME_MAX 64
#define PIN_PREFIX "pin:"
#define PIN_DIGITS 64
#define UUID_LENGTH 36

typedef struct {
    inventory_system_t *system;
    inventory_groups_t *groups;
    apr_pool_t *pool;
} check_t;

/* NULL, or what is wrong with the text; the text is never empty. */
typedef const char *(check_fn)(check_t *check, const char *text);

static const char *const method_names[INVENTORY_METHODS] = {
    [INVENTORY_SOL] = "sol",
    [INVENTORY_IMAGE] = "image",
    [INVENTORY_HTTPS_BOOT] = "https-boot",
    [INVENTORY_WAKE] = "wake",
};
static const char *const auth_names[INVENTORY_AUTHS] = {
    [INVENTORY_DIGEST] = "digest",
    [INVENTORY_KERBEROS] = "kerberos",
};
static const char *const tls_names[INVENTORY_TLS_KINDS] = {
    [INVENTORY_TLS_CA] = "ca",
    [INVENTORY_TLS_PIN] = "pin",
    [INVENTORY_TLS_LEGACY] = "legacy",
    [INVENTORY_TLS_NONE] = "none",
};

/* Position of a word among `count`, or -1. */
static int word_index(const char *const *words, int count, const char *text)
{
    for (int i = 0; i < count; i++) {
        if (apr_cstr_casecmp(words[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

const char *inventory_method_name(inventory_method_e method)
{
    return method_names[method];
}

/* ---- the checks ---------------------------------------------------------------------------------------- */

/* 4, 6, or 0 for what is no address. */
static int address_family(const char *key)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, key, bytes) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, key, bytes) == 1 ? 6 : 0;
}

static const char *check_fqdn(check_t *check, const char *text)
{
    const char *key = jobs_name_key(text, check->pool);

    if (key == NULL) {
        return "is not a host name (labels of 1 to 63 letters, digits, '-' and '_', 253 in all)";
    }
    if (address_family(key)) {
        return "is an address; the system needs a name here, and its address in the column 'address'";
    }
    check->system->fqdn = key;
    return NULL;
}

/* Addresses that never mean one machine. */
static int is_nobody(const char *key, int family)
{
    unsigned char bytes[sizeof(struct in6_addr)] = {0};

    if (family == 4) {
        inet_pton(AF_INET, key, bytes);
        return bytes[0] == 0 || bytes[0] >= 224;
    }
    inet_pton(AF_INET6, key, bytes);
    return bytes[0] == 0xff || strcmp(key, "::") == 0;
}

static const char *check_address(check_t *check, const char *text)
{
    const char *key = jobs_name_key(text, check->pool);
    int family = key != NULL ? address_family(key) : 0;

    if (!family) {
        return "is not an IPv4 or IPv6 address (leave it empty to look the name up)";
    }
    if (is_nobody(key, family)) {
        return "is an address that no single machine has";
    }
    check->system->address = key;
    return NULL;
}

static int all_digits_are(const char *uuid, char digit)
{
    return strspn(uuid, (const char[]){digit, '-', '\0'}) == UUID_LENGTH;
}

static const char *check_uuid(check_t *check, const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    char *uuid = apr_pstrdup(check->pool, text);
    apr_size_t i;

    for (i = 0; i < UUID_LENGTH; i++) {
        if (form[i] == '-' ? uuid[i] != '-' : !apr_isxdigit(uuid[i])) {
            return "is not a UUID like 4c4c4544-0035-3610-8052-b2c04f4d3732";
        }
        uuid[i] = (char)apr_tolower(uuid[i]);
    }
    if (uuid[i] != '\0') {
        return "has more than the 36 characters of a UUID";
    }
    if (all_digits_are(uuid, '0') || all_digits_are(uuid, 'f')) {
        return "is what firmware says when it knows no UUID; leave it empty";
    }
    check->system->uuid = uuid;
    return NULL;
}

static const char *check_group(check_t *check, const char *text)
{
    inventory_groups_t *groups = check->groups;
    const inventory_group_t *group =
        groups->configured != NULL ? apr_hash_get(groups->configured, text, APR_HASH_KEY_STRING) : NULL;
    inventory_group_t *made;

    if (group == NULL) {
        group = apr_hash_get(groups->made, text, APR_HASH_KEY_STRING);
    }
    if (group == NULL) {
        for (const char *at = text; *at; at++) {
            if (!apr_isalnum(*at) && strchr("-_.", *at) == NULL) {
                return "is not a group name (letters, digits, '-', '_' and '.')";
            }
        }
        if (strlen(text) > GROUP_NAME_MAX) {
            return "is longer than a group name may be (64)";
        }
        made = apr_pcalloc(groups->pool, sizeof(*made));
        made->name = apr_pstrdup(groups->pool, text);
        made->boot_timeout = groups->fallback->boot_timeout;
        made->type_running = groups->fallback->type_running;
        made->same_passphrase = groups->fallback->same_passphrase;
        made->reset_running = groups->fallback->reset_running;
        made->tls_max = groups->fallback->tls_max;
        made->power_interval = groups->fallback->power_interval;
        apr_hash_set(groups->made, made->name, APR_HASH_KEY_STRING, made);
        group = made;
    }
    check->system->group = group;
    return NULL;
}

static const char *check_method(check_t *check, const char *text)
{
    int index = word_index(method_names, INVENTORY_METHODS, text);

    if (index < 0) {
        return "is not one of sol, image, https-boot, wake";
    }
    check->system->method = index;
    return NULL;
}

static const char *check_auth(check_t *check, const char *text)
{
    int index = word_index(auth_names, INVENTORY_AUTHS, text);

    if (index < 0) {
        return "is not one of digest, kerberos";
    }
    check->system->auth = index;
    return NULL;
}

/* 64 hex digits, with or without the colons that fingerprints are printed with. */
static const char *check_pin(check_t *check, const char *text)
{
    char *pin = apr_pcalloc(check->pool, PIN_DIGITS + 1);
    int count = 0;

    for (; *text; text++) {
        if (*text == ':' && count > 0 && count % 2 == 0) {
            continue;
        }
        if (!apr_isxdigit(*text) || count == PIN_DIGITS) {
            return "is not pin:<sha256> with 64 hex digits";
        }
        pin[count++] = (char)apr_tolower(*text);
    }
    if (count != PIN_DIGITS) {
        return "is not pin:<sha256> with 64 hex digits";
    }
    check->system->pin = pin;
    check->system->tls = INVENTORY_TLS_PIN;
    return NULL;
}

static const char *check_tls(check_t *check, const char *text)
{
    int index;

    if (apr_cstr_casecmpn(text, PIN_PREFIX, sizeof(PIN_PREFIX) - 1) == 0) {
        return check_pin(check, text + sizeof(PIN_PREFIX) - 1);
    }
    index = word_index(tls_names, INVENTORY_TLS_KINDS, text);
    if (index < 0 || index == INVENTORY_TLS_PIN) {
        return "is not one of ca, pin:<sha256>, legacy, none";
    }
    check->system->tls = index;
    return NULL;
}

/* 1 to 65535, or 0. */
static int parse_port(const char *text)
{
    long port;
    char *end;

    if (!apr_isdigit(text[0]) || strlen(text) > 5) {
        return 0;
    }
    port = strtol(text, &end, 10);
    return *end == '\0' && port <= 65535 ? (int)port : 0;
}

/* "22", "name:22", "192.0.2.1:22", "[2001:db8::1]:22" */
static const char *check_probe(check_t *check, const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *host = NULL;
    apr_size_t length;

    check->system->probe_port = parse_port(colon != NULL ? colon + 1 : text);
    if (check->system->probe_port == 0) {
        return "is not a port (1 to 65535) or host:port";
    }
    if (colon == NULL) {
        return NULL;
    }
    length = (apr_size_t)(colon - text);
    if (text[0] == '[' && length > 2 && text[length - 1] == ']') {
        host = jobs_name_key(apr_pstrndup(check->pool, text + 1, length - 2), check->pool);
        host = host != NULL && address_family(host) == 6 ? host : NULL;
    }
    else if (memchr(text, ':', length) == NULL) {
        host = jobs_name_key(apr_pstrndup(check->pool, text, length), check->pool);
    }
    if (host == NULL) {
        return "does not begin with a host name or address (an IPv6 address stands in brackets: "
               "[2001:db8::1]:22)";
    }
    check->system->probe_host = host;
    return NULL;
}

/* ---- the table ----------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    check_fn *check;
    const char *missing;      /* said when neither line nor groups have it; NULL: may be missing */
    apr_size_t group_default; /* offset in inventory_group_t of its default; 0: groups have none */
    const char *built_in;     /* taken where neither line nor groups have it; NULL: none */
} column_t;

static const column_t columns[INVENTORY_COLUMNS] = {
    [INVENTORY_FQDN] = {"fqdn", check_fqdn, "fqdn is missing", 0, NULL},
    [INVENTORY_ADDRESS] = {"address", check_address, NULL, 0, NULL},
    [INVENTORY_UUID] = {"uuid", check_uuid, NULL, 0, NULL},
    [INVENTORY_GROUP] = {"group", check_group, NULL, 0, "default"},
    [INVENTORY_METHOD] = {"method", check_method, "method is missing, and the group has no default for it",
                          offsetof(inventory_group_t, method), NULL},
    [INVENTORY_AUTH] = {"auth", check_auth, NULL, offsetof(inventory_group_t, auth), "digest"},
    [INVENTORY_TLS] = {"tls", check_tls, NULL, offsetof(inventory_group_t, tls), "ca"},
    [INVENTORY_PROBE] = {"probe", check_probe, NULL, offsetof(inventory_group_t, probe), NULL},
};

const char *inventory_column_name(inventory_column_e column)
{
    return columns[column].name;
}

/* What a group says for a column; "" for nothing. */
static const char *group_default(const inventory_group_t *group, const column_t *column)
{
    const char *text = NULL;

    if (group != NULL && column->group_default) {
        memcpy(&text, (const char *)group + column->group_default, sizeof(text));
    }
    return text != NULL ? text : "";
}

/* The text that counts for a column, and the group that it comes from (NULL: the line's own). */
static const char *effective(const check_t *check, const column_t *column, const char *cell,
                             const char **origin)
{
    const inventory_group_t *tried[] = {check->system->group, check->groups->fallback};

    *origin = NULL;
    if (*cell) {
        return cell;
    }
    for (int i = 0; i < 2; i++) {
        const char *text = group_default(tried[i], column);

        if (*text) {
            *origin = tried[i]->name;
            return text;
        }
    }
    return column->built_in != NULL ? column->built_in : "";
}

/* False, and a problem, if the cell (or what stands in for it) is wrong. */
static int check_cell(check_t *check, const column_t *column, const char *cell,
                      inventory_problems_t *problems)
{
    const char *origin, *fault;
    const char *text = effective(check, column, cell, &origin);

    if (!*text) {
        if (column->missing != NULL) {
            inventory_problem(problems, check->system->line, "%s", column->missing);
        }
        return column->missing == NULL;
    }
    fault = column->check(check, text);
    if (fault != NULL) {
        inventory_problem(problems, check->system->line, "%s '%s'%s%s %s", column->name,
                          inventory_quote(text, check->pool), origin != NULL ? " of group " : "",
                          origin != NULL ? origin : "", fault);
    }
    return fault == NULL;
}

/* False, and a problem, if something is missing that other cells or its group ask for. */
static int has_its_needs(const inventory_system_t *system, inventory_problems_t *problems)
{
    /* A method that is not named here needs a probe. */
    static const int without_probe[INVENTORY_METHODS] = {[INVENTORY_SOL] = 1};

    if (!without_probe[system->method] && system->probe_port == 0) {
        inventory_problem(
            problems, system->line,
            "method %s needs a probe: a port or host:port that answers when the operating system is up",
            inventory_method_name(system->method));
        return 0;
    }
    if (system->group->reset_running && system->probe_port == 0) {
        inventory_problem(problems, system->line,
                          "group %s has reset-running = yes, so it needs a probe: without one, a PC in use "
                          "looks like one that hangs",
                          system->group->name);
        return 0;
    }
    return 1;
}

void inventory_groups_init(inventory_groups_t *groups, apr_hash_t *configured, apr_pool_t *pool)
{
    static const inventory_group_t plain = {.name = "default",
                                            .boot_timeout = APR_TIME_C(600) * APR_USEC_PER_SEC};

    groups->configured = configured;
    groups->made = apr_hash_make(pool);
    groups->fallback = configured != NULL ? apr_hash_get(configured, plain.name, APR_HASH_KEY_STRING) : NULL;
    groups->fallback = groups->fallback != NULL ? groups->fallback : &plain;
    groups->pool = pool;
}

inventory_system_t *inventory_check(const inventory_row_t *row, inventory_groups_t *groups,
                                    inventory_problems_t *problems, apr_pool_t *pool)
{
    inventory_system_t *system = apr_pcalloc(pool, sizeof(*system));
    check_t check = {.system = system, .groups = groups, .pool = pool};
    int good = 1;

    system->line = row->line;
    for (int i = 0; i < INVENTORY_COLUMNS; i++) {
        good &= check_cell(&check, &columns[i], row->cells[i], problems);
    }
    return good && has_its_needs(system, problems) ? system : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the AMT client from a test: what its headers offer, from a command line, one JSON object a call.
 *
 *   amt_client SECONDS TRUST SYSTEMS CALL...      user and password are the first two lines of standard input
 *
 * SECONDS is what a call may take; TRUST is ca:FILE, pin:HEX, legacy:FILE or none; SYSTEMS a file of
 * "fqdn,address,passphrase" lines. Each system does the calls in turn, all systems at once:
 *
 *   identity, power, saving, boot, redirection, consent, capabilities    look
 *   clear-boot, set-boot=N, request-power=N, set-redirection=STATE[+listener]
 *   fenced-power=N, fenced-type                                  the gate is shut
 *   sol, await=REGEX, type[=TEXT] (else the passphrase), close-sol
 *   ider=FILE, booting, served=BYTES, close-ider
 *   wait (for a line on standard input)
 *
 * The last line tells what the systems cost: memory, seconds.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amt/redirection/console.h"
#include "amt/redirection/ider.h"
#include "amt/redirection/patterns.h"
#include "amt/redirection/sol.h"
#include "wsman/envelope.h"

typedef struct {
    apr_pool_t *pool;
    struct event_base *base;
    amt_target_t target; /* what all systems share */
    char user[64];
    char password[128];
    char **calls; /* ends with NULL */
    int running;
    amt_loop_t *loop;
    amt_image_t *image; /* shared by all systems */
} driver_t;

typedef struct system_t {
    driver_t *driver;
    char *fqdn;
    char *passphrase;
    amt_target_t target;
    amt_device_t *device;
    char **call;        /* the one under way */
    struct event *line; /* "wait" */
    int gate_asked;
    amt_facts_t facts;
    amt_sol_t *sol;
    amt_console_t *console;
    amt_patterns_t *awaited;
    int shown; /* what is awaited was, on a line that ended */
    amt_ider_t *ider;
    apr_uint64_t bytes_awaited;
    struct event *tick; /* "served" */
    struct system_t *next;
} system_t;

static const char *const status_names[AMT_STATUSES] = {
    "ok",     "unreachable", "tls-untrusted", "auth-failed", "refused",   "garbage", "timeout",
    "broken", "fenced",      "busy",          "consent",     "no-ticket", "not-now"};

static void next_call(system_t *system);

static int gate(void *baton)
{
    system_t *system = baton;

    system->gate_asked++;
    return strncmp(*system->call, "fenced-", 7) != 0;
}

/* Texts hold nothing but printable ASCII. */
static void print_text(const char *name, const char *text)
{
    printf(",\"%s\":\"", name);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('"');
}

/* What a looking call found. */
static void print_found(const system_t *system)
{
    const char *call = *system->call;

    if (!strcmp(call, "identity")) {
        print_text("uuid", system->facts.identity.uuid);
        print_text("version", system->facts.identity.version);
        printf(",\"major\":%d", system->facts.identity.major);
    }
    if (!strcmp(call, "power")) {
        printf(",\"state\":%d,\"on_available\":%d,\"reset_available\":%d", system->facts.power.state,
               system->facts.power.on_available, system->facts.power.reset_available);
    }
    if (!strcmp(call, "boot")) {
        printf(",\"overridden\":%d", system->facts.boot.overridden);
        print_text("summary", system->facts.boot.summary);
    }
    if (!strcmp(call, "redirection")) {
        printf(",\"state\":%d,\"listener\":%d", system->facts.redirection.state,
               system->facts.redirection.listener);
    }
    if (!strcmp(call, "saving")) {
        printf(",\"saving\":%d", system->facts.saving);
    }
    if (!strcmp(call, "consent")) {
        printf(",\"control_mode\":%d,\"needed\":%d", system->facts.consent.control_mode,
               system->facts.consent.needed);
    }
    if (!strcmp(call, "capabilities")) {
        printf(",\"storage\":%d,\"sol\":%d", system->facts.capabilities.storage,
               system->facts.capabilities.sol);
    }
    if (system->console) {
        print_text("last", amt_console_last(system->console));
    }
    if (system->ider) {
        printf(",\"served\":%llu", (unsigned long long)amt_ider_served(system->ider));
    }
}

static void done(void *baton, const amt_result_t *result)
{
    system_t *system = baton;

    printf("{\"system\":\"%s\",\"call\":\"%s\",\"status\":\"%s\",\"acted\":%d,\"return_value\":%d,\"gate_"
           "asked\":%d",
           system->fqdn, *system->call, status_names[result->status], result->acted, result->return_value,
           system->gate_asked);
    print_text("text", result->text);
    print_found(system);
    printf("}\n");
    fflush(stdout);
    system->call++;
    next_call(system);
}

/* ---- calls that wait for a session ----------------------------------------------------------- */

static const amt_result_t all_well = {.status = AMT_OK, .return_value = -1, .text = ""};

static int is_call(const system_t *system, const char *name)
{
    const char *call = *system->call;

    return call && !strncmp(call, name, strlen(name)) &&
           (call[strlen(name)] == '\0' || call[strlen(name)] == '=');
}

static void sol_opened(void *baton)
{
    done(baton, &all_well);
}

static void check_console(system_t *system)
{
    if (!is_call(system, "await")) {
        return;
    }
    if (system->shown || amt_patterns_match(system->awaited, amt_console_partial(system->console))) {
        system->shown = 0;
        done(system, &all_well);
    }
}

static void line_shown(void *baton, const char *line, amt_line_e how)
{
    system_t *system = baton;

    (void)how;
    system->shown |= is_call(system, "await") && amt_patterns_match(system->awaited, line);
}

static void sol_received(void *baton, const char *bytes, apr_size_t length)
{
    system_t *system = baton;

    amt_console_feed(system->console, bytes, length);
    check_console(system);
}

static void sol_ended(void *baton, const amt_result_t *result)
{
    system_t *system = baton;

    if (is_call(system, "sol") || is_call(system, "await") || is_call(system, "close-sol")) {
        done(system, result);
    }
    else {
        printf("{\"system\":\"%s\",\"ended\":\"sol\",\"status\":\"%s\"", system->fqdn,
               status_names[result->status]);
        print_text("text", result->text);
        printf("}\n");
    }
}

static void ider_opened(void *baton)
{
    done(baton, &all_well);
}

static void ider_booting(void *baton)
{
    if (is_call(baton, "booting")) {
        done(baton, &all_well);
    }
}

static void ider_ended(void *baton, const amt_result_t *result)
{
    system_t *system = baton;

    if (is_call(system, "ider") || is_call(system, "booting") || is_call(system, "served") ||
        is_call(system, "close-ider")) {
        done(system, result);
    }
}

static void begin_sol(system_t *system)
{
    static const amt_sol_events_t events = {sol_opened, sol_received, sol_ended};

    system->console = amt_console_create(line_shown, system, system->driver->pool);
    if (amt_sol_open(&system->sol, system->driver->loop, &system->target, &events, system,
                     system->driver->pool)) {
        fprintf(stderr, "amt_client: no session\n");
        exit(2);
    }
}

static void begin_await(system_t *system)
{
    apr_array_header_t *texts = apr_array_make(system->driver->pool, 1, sizeof(const char *));
    const char *problem;

    APR_ARRAY_PUSH(texts, const char *) = *system->call + strlen("await=");
    problem = amt_patterns_compile(&system->awaited, texts, system->driver->pool);
    if (problem) {
        fprintf(stderr, "amt_client: %s\n", problem);
        exit(2);
    }
    check_console(system);
}

/* Nothing of the typed stays on the screen's record: what comes next is what counts. */
static void begin_type(system_t *system)
{
    const char *equals = strchr(*system->call, '=');
    char *line = apr_pstrcat(system->driver->pool, equals ? equals + 1 : system->passphrase, "\r", NULL);
    amt_result_t result = all_well;

    amt_console_forget(system->console);
    system->shown = 0;
    if (amt_sol_send(system->sol, line, strlen(line), gate, system) != APR_SUCCESS) {
        result = (amt_result_t){.status = AMT_FENCED, .return_value = -1, .text = "nothing was sent"};
    }
    done(system, &result);
}

static void begin_ider(system_t *system)
{
    static const amt_ider_events_t events = {ider_opened, ider_booting, ider_ended};
    driver_t *driver = system->driver;
    const char *file = *system->call + strlen("ider=");
    const char *problem = driver->image ? NULL : amt_image_open(&driver->image, file, driver->pool);

    if (problem || amt_ider_open(&system->ider, driver->loop, &system->target, driver->image, NULL, &events,
                                 system, driver->pool)) {
        fprintf(stderr, "amt_client: %s\n", problem ? problem : "no session");
        exit(2);
    }
}

static void look_at_served(evutil_socket_t fd, short what, void *baton)
{
    system_t *system = baton;

    (void)fd;
    (void)what;
    if (is_call(system, "served") && amt_ider_served(system->ider) >= system->bytes_awaited) {
        event_free(system->tick);
        system->tick = NULL;
        done(system, &all_well);
    }
}

static void begin_served(system_t *system)
{
    struct timeval often = {0, 2000};

    system->bytes_awaited = strtoull(*system->call + strlen("served="), NULL, 10);
    system->tick = event_new(system->driver->base, -1, EV_PERSIST, look_at_served, system);
    event_add(system->tick, &often);
}

static void begin_booting(system_t *system)
{
    if (amt_ider_served(system->ider)) {
        done(system, &all_well);
    }
}

static void begin_close_sol(system_t *system)
{
    amt_sol_close(system->sol);
}

static void begin_close_ider(system_t *system)
{
    amt_ider_close(system->ider);
}

static void line_came(evutil_socket_t fd, short what, void *baton)
{
    system_t *system = baton;
    char c = 0;

    (void)what;
    while (read((int)fd, &c, 1) == 1 && c != '\n') {
    }
    event_free(system->line);
    system->line = NULL;
    system->call++;
    next_call(system);
}

/* ---- calls to the device --------------------------------------------------------------------- */

static long number_of(const system_t *system)
{
    return strtol(strchr(*system->call, '=') + 1, NULL, 10);
}

static void begin_clear_boot(system_t *system)
{
    amt_clear_boot(system->device, gate, system, done, system);
}

static void begin_set_boot(system_t *system)
{
    amt_set_boot(system->device, (int)number_of(system), gate, system, done, system);
}

static void begin_set_redirection(system_t *system)
{
    amt_redirection_t wanted = {(int)number_of(system), strstr(*system->call, "+listener") != NULL};

    amt_set_redirection(system->device, &wanted, gate, system, done, system);
}

static void begin_request_power(system_t *system)
{
    amt_request_power(system->device, (int)number_of(system), gate, system, done, system);
}

static void begin_wait(system_t *system)
{
    system->line = event_new(system->driver->base, STDIN_FILENO, EV_READ, line_came, system);
    event_add(system->line, NULL);
}

static const struct {
    const char *name;
    void (*begin)(system_t *system); /* NULL: it reads */
    int argument;                    /* 1: it has one, 0: it has none, -1: as it likes */
    amt_read_e read;
} calls[] = {
    {"identity", NULL, 0, AMT_READ_IDENTITY},
    {"power", NULL, 0, AMT_READ_POWER},
    {"boot", NULL, 0, AMT_READ_BOOT},
    {"redirection", NULL, 0, AMT_READ_REDIRECTION},
    {"saving", NULL, 0, AMT_READ_SAVING},
    {"consent", NULL, 0, AMT_READ_CONSENT},
    {"capabilities", NULL, 0, AMT_READ_CAPABILITIES},
    {"clear-boot", begin_clear_boot, 0, AMT_READ_NONE},
    {"set-boot", begin_set_boot, 1, AMT_READ_NONE},
    {"set-redirection", begin_set_redirection, 1, AMT_READ_NONE},
    {"request-power", begin_request_power, 1, AMT_READ_NONE},
    {"fenced-power", begin_request_power, 1, AMT_READ_NONE},
    {"sol", begin_sol, 0, AMT_READ_NONE},
    {"await", begin_await, 1, AMT_READ_NONE},
    {"type", begin_type, -1, AMT_READ_NONE},
    {"fenced-type", begin_type, -1, AMT_READ_NONE},
    {"close-sol", begin_close_sol, 0, AMT_READ_NONE},
    {"ider", begin_ider, 1, AMT_READ_NONE},
    {"booting", begin_booting, 0, AMT_READ_NONE},
    {"served", begin_served, 1, AMT_READ_NONE},
    {"close-ider", begin_close_ider, 0, AMT_READ_NONE},
    {"wait", begin_wait, 0, AMT_READ_NONE},
};

static void next_call(system_t *system)
{
    system->gate_asked = 0;
    if (!*system->call) {
        if (--system->driver->running == 0) {
            event_base_loopbreak(system->driver->base);
        }
        return;
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int argument = strchr(*system->call, '=') != NULL;

        if (is_call(system, calls[i].name) && (calls[i].argument < 0 || calls[i].argument == argument)) {
            if (calls[i].begin) {
                calls[i].begin(system);
            }
            else {
                amt_read(system->device, calls[i].read, &system->facts, done, system);
            }
            return;
        }
    }
    fprintf(stderr, "amt_client: no such call: %s\n", *system->call);
    exit(2);
}

/* ---- the command line ------------------------------------------------------------------------ */

static int read_line(char *line, size_t size)
{
    size_t length = 0;
    char c;

    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
        if (length + 1 < size) {
            line[length++] = c;
        }
    }
    line[length] = '\0';
    return length > 0;
}

static int parse_trust(amt_target_t *target, const char *trust)
{
    const char *colon = strchr(trust, ':');

    if (!strcmp(trust, "none")) {
        target->tls = AMT_TLS_NONE;
        return 1;
    }
    if (!colon) {
        return 0;
    }
    if (!strncmp(trust, "pin:", 4)) {
        target->tls = AMT_TLS_PIN;
        target->pin = colon + 1;
        return 1;
    }
    target->tls = !strncmp(trust, "legacy:", 7) ? AMT_TLS_LEGACY : AMT_TLS_CA;
    target->ca_file = colon + 1;
    return 1;
}

static system_t *read_systems(driver_t *driver, const char *path)
{
    system_t *systems = NULL;
    FILE *file = fopen(path, "re");
    char line[512];

    if (!file) {
        fprintf(stderr, "amt_client: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    while (fgets(line, sizeof(line), file)) {
        system_t *system = apr_pcalloc(driver->pool, sizeof(*system));
        amt_target_t target = driver->target;
        char *rest;

        system->driver = driver;
        system->fqdn = apr_pstrdup(driver->pool, apr_strtok(line, ",\n", &rest));
        system->call = driver->calls;
        target.fqdn = system->fqdn;
        target.address = apr_strtok(NULL, ",\n", &rest);
        target.user = driver->user;
        target.password = driver->password;
        system->passphrase = apr_pstrdup(driver->pool, apr_strtok(NULL, ",\n", &rest));
        target.address = apr_pstrdup(driver->pool, target.address);
        system->target = target;
        if (amt_device_create(&system->device, driver->loop, &target, driver->pool) != APR_SUCCESS) {
            fprintf(stderr, "amt_client: %s cannot be a target\n", system->fqdn);
            exit(2);
        }
        system->next = systems;
        systems = system;
        driver->running++;
    }
    fclose(file);
    return systems;
}

/* Resident bytes of this process. */
static long resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char line[128] = "";
    char *end;

    if (file) {
        (void)!fgets(line, sizeof(line), file);
        fclose(file);
    }
    (void)strtol(line, &end, 10);
    return strtol(end, NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* The most that they ever were (getrusage() would count the parent's from before the exec too). */
static long peak(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[128];
    long kilobytes = 0;

    while (file && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, "VmHWM:", 6)) {
            kilobytes = strtol(line + 6, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
    return kilobytes * 1024;
}

int main(int argc, char **argv)
{
    driver_t driver = {0};
    system_t *systems;
    apr_time_t began;
    long before;
    int count;

    if (argc < 5 || !parse_trust(&driver.target, argv[2]) || !read_line(driver.user, sizeof(driver.user)) ||
        !read_line(driver.password, sizeof(driver.password))) {
        fprintf(stderr,
                "usage: amt_client SECONDS TRUST SYSTEMS CALL...   (user and password on standard input)\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    apr_initialize();
    if (amt_library_init() != APR_SUCCESS) {
        return 1;
    }
    wsman_library_init();
    apr_pool_create(&driver.pool, NULL);
    driver.target.call_timeout = apr_time_from_sec(strtol(argv[1], NULL, 10));
    driver.calls = argv + 4;
    driver.base = event_base_new();
    if (!driver.base || amt_loop_create(&driver.loop, driver.base, driver.pool) != APR_SUCCESS) {
        return 1;
    }
    before = resident();
    systems = read_systems(&driver, argv[3]);
    count = driver.running;
    began = apr_time_now();
    for (system_t *system = systems; system; system = system->next) {
        next_call(system);
    }
    if (driver.running) {
        event_base_dispatch(driver.base);
    }
    printf("{\"systems\":%d,\"bytes_each\":%ld,\"peak_each\":%ld,\"seconds\":%.3f}\n", count,
           count ? (resident() - before) / count : 0, count ? (peak() - before) / count : 0,
           (double)(apr_time_now() - began) / APR_USEC_PER_SEC);
    for (system_t *system = systems; system; system = system->next) {
        amt_device_destroy(system->device);
        if (system->sol) {
            amt_sol_destroy(system->sol);
        }
        if (system->ider) {
            amt_ider_destroy(system->ider);
        }
    }
    apr_pool_destroy(driver.pool);
    event_base_free(driver.base);
    apr_terminate();
    return 0;
}

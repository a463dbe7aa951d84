/* Drives the AMT client from a test: what amt.h offers, from a command line, one JSON object a call.
 *
 *   amt_client SECONDS TRUST SYSTEMS CALL...      user and password are the first two lines of standard input
 *
 * SECONDS is what a call may take; TRUST is ca:FILE, pin:HEX, legacy:FILE or none; SYSTEMS a file of
 * "fqdn,address" lines. Each system does the calls in turn, all systems at once: identity, power, boot,
 * clear-boot, request-power=N, fenced-power=N (the gate is shut), wait (for a line on standard input). The
 * last line tells what the systems cost: memory, seconds.
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amt/amt.h"
#include "wsman/envelope.h"

typedef struct {
    apr_pool_t *pool;
    struct event_base *base;
    amt_target_t target; /* what all systems share */
    char user[64];
    char password[128];
    char **calls; /* ends with NULL */
    int running;
} driver_t;

typedef struct system_t {
    driver_t *driver;
    char *fqdn;
    amt_device_t *device;
    char **call;        /* the one under way */
    struct event *line; /* "wait" */
    int gate_asked;
    amt_identity_t identity;
    amt_power_t power;
    amt_boot_t boot;
    struct system_t *next;
} system_t;

static const char *const status_names[] = {
    "ok", "unreachable", "tls-untrusted", "auth-failed", "refused", "garbage", "timeout", "broken", "fenced"};

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

static void done(void *baton, const amt_result_t *result)
{
    system_t *system = baton;

    printf("{\"system\":\"%s\",\"call\":\"%s\",\"status\":\"%s\",\"acted\":%d,\"return_value\":%d,\"gate_"
           "asked\":%d",
           system->fqdn, *system->call, status_names[result->status], result->acted, result->return_value,
           system->gate_asked);
    print_text("text", result->text);
    if (!strcmp(*system->call, "identity")) {
        print_text("uuid", system->identity.uuid);
        print_text("version", system->identity.version);
        printf(",\"major\":%d", system->identity.major);
    }
    if (!strcmp(*system->call, "power")) {
        printf(",\"state\":%d,\"on_available\":%d", system->power.state, system->power.on_available);
    }
    if (!strcmp(*system->call, "boot")) {
        printf(",\"overridden\":%d", system->boot.overridden);
        print_text("summary", system->boot.summary);
    }
    printf("}\n");
    fflush(stdout);
    system->call++;
    next_call(system);
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

static void next_call(system_t *system)
{
    amt_device_t *device = system->device;
    const char *call = *system->call;
    const char *number = call ? strchr(call, '=') : NULL;

    system->gate_asked = 0;
    if (!call) {
        if (--system->driver->running == 0) {
            event_base_loopbreak(system->driver->base);
        }
    }
    else if (!strcmp(call, "identity")) {
        amt_read_identity(device, &system->identity, done, system);
    }
    else if (!strcmp(call, "power")) {
        amt_read_power(device, &system->power, done, system);
    }
    else if (!strcmp(call, "boot")) {
        amt_read_boot(device, &system->boot, done, system);
    }
    else if (!strcmp(call, "clear-boot")) {
        amt_clear_boot(device, gate, system, done, system);
    }
    else if (!strcmp(call, "wait")) {
        system->line = event_new(system->driver->base, STDIN_FILENO, EV_READ, line_came, system);
        event_add(system->line, NULL);
    }
    else if (number) {
        amt_request_power(device, (int)strtol(number + 1, NULL, 10), gate, system, done, system);
    }
    else {
        fprintf(stderr, "amt_client: no such call: %s\n", call);
        exit(2);
    }
}

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

static system_t *read_systems(driver_t *driver, amt_loop_t *loop, const char *path)
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
        if (amt_device_create(&system->device, loop, &target, driver->pool) != APR_SUCCESS) {
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

int main(int argc, char **argv)
{
    driver_t driver = {0};
    amt_loop_t *loop;
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
    if (!driver.base || amt_loop_create(&loop, driver.base, driver.pool) != APR_SUCCESS) {
        return 1;
    }
    before = resident();
    systems = read_systems(&driver, loop, argv[3]);
    count = driver.running;
    began = apr_time_now();
    for (system_t *system = systems; system; system = system->next) {
        next_call(system);
    }
    if (driver.running) {
        event_base_dispatch(driver.base);
    }
    printf("{\"systems\":%d,\"bytes_each\":%ld,\"seconds\":%.3f}\n", count,
           count ? (resident() - before) / count : 0, (double)(apr_time_now() - began) / APR_USEC_PER_SEC);
    for (system_t *system = systems; system; system = system->next) {
        amt_device_destroy(system->device);
    }
    apr_pool_destroy(driver.pool);
    event_base_free(driver.base);
    apr_terminate();
    return 0;
}

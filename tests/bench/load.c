/* SPDX-License-Identifier: Apache-2.0 */
/* Asks one thing of an httpd again and again, over connections that stay.
 *
 *   load --url URL --ca FILE --users FILE --connections N --seconds S [--body FILE] [--rate N] [--samples FILE]
 *
 * Each connection authenticates with NTLM (the user of the first line of --users, DOMAIN:USER:PASSWORD) before the clock
 * starts. Then, for S seconds, each asks again as soon as it has been answered; with --rate N requests begin at that rate a
 * second on whichever connection is free, and a request's time counts from the moment at which it was to begin.
 * --body: what is posted; without it the URL is fetched. --samples: "BEGAN MILLISECONDS STATUS" of each request, BEGAN in
 * seconds of CLOCK_MONOTONIC. Prints one JSON object: requests, ok (status 200), refused (other statuses), failed (no
 * answer), unsent (by --rate, but no connection was free to the end), reconnects, bytes, seconds, p50, p99 and max in
 * milliseconds of those that were answered, and cpu, the seconds that this program used.
 */
#include "loop.h"
#include "ntlm.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECTIONS_MAX 1000L
#define SECONDS_MAX 600L
#define RATE_MAX 100000L
#define REQUESTS_MAX 2000000L
#define BODY_MAX (64L << 20)
#define HEADER_BYTES 16384
#define LOGINS_MAX 5

typedef struct options_t {
    const char *url, *ca, *users, *body, *samples;
    long connections, seconds, rate;
} options_t;

typedef struct lane_t {
    CURL *easy;
    double began;
    char address[32]; /* that it calls from: libcurl would use any lane's connection for any request */
    ntlm_t *login;    /* NULL when it is through */
    struct curl_slist *headers;
    int logins; /* that were begun since one was through */
    char challenge[HEADER_BYTES];
} lane_t;

typedef struct sample_t {
    double began;
    float milliseconds;
    int status; /* 0: no answer */
} sample_t;

static options_t options;
static loop_t loop;
static char *body; /* NULL: nothing is posted */
static long body_size;
static lane_t lanes[CONNECTIONS_MAX];
static lane_t *idle[CONNECTIONS_MAX];
static long idle_count, begun, ended;
static sample_t *samples;
static long samples_count, reconnects;
static double bytes, start, end; /* of the measured time */

/* ---- the command line ------------------------------------------------------------------------ */

static void read_options(int argc, char **argv)
{
    static const struct option table[] = {{"url", required_argument, NULL, 'u'},
                                          {"ca", required_argument, NULL, 'c'},
                                          {"users", required_argument, NULL, 'n'},
                                          {"body", required_argument, NULL, 'b'},
                                          {"samples", required_argument, NULL, 's'},
                                          {"connections", required_argument, NULL, 'C'},
                                          {"seconds", required_argument, NULL, 'S'},
                                          {"rate", required_argument, NULL, 'R'},
                                          {NULL, 0, NULL, 0}};
    int which;

    while ((which = getopt_long(argc, argv, "", table, NULL)) != -1) {
        switch (which) {
        case 'u':
            options.url = optarg;
            break;
        case 'c':
            options.ca = optarg;
            break;
        case 'n':
            options.users = optarg;
            break;
        case 'b':
            options.body = optarg;
            break;
        case 's':
            options.samples = optarg;
            break;
        case 'C':
            options.connections = loop_number("connections", optarg, CONNECTIONS_MAX);
            break;
        case 'S':
            options.seconds = loop_number("seconds", optarg, SECONDS_MAX);
            break;
        case 'R':
            options.rate = loop_number("rate", optarg, RATE_MAX);
            break;
        default:
            exit(2);
        }
    }
    if (options.url == NULL || options.ca == NULL || options.users == NULL || options.connections < 1 ||
        options.seconds < 1 || optind < argc) {
        loop_die("load: --url, --ca, --users, --connections and --seconds are wanted, and nothing else is");
    }
}

static void read_body(const char *file)
{
    FILE *in = fopen(file, "rb");

    body = in != NULL ? malloc(BODY_MAX) : NULL;
    if (body == NULL) {
        loop_die("load: %s cannot be read", file);
    }
    body_size = (long)fread(body, 1, BODY_MAX, in);
    fclose(in);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void begin_request(double moment)
{
    lane_t *lane = idle[--idle_count];

    lane->began = moment;
    begun++;
    loop_begin(&loop, lane->easy);
}

static void count_request(const lane_t *lane, long status)
{
    long connects = 0;
    curl_off_t size = 0;

    curl_easy_getinfo(lane->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(lane->easy, CURLINFO_SIZE_DOWNLOAD_T, &size);
    reconnects += connects;
    bytes += (double)size;
    samples[samples_count++] = (sample_t){.began = lane->began,
                                          .milliseconds = (float)((loop_clock() - lane->began) * 1000),
                                          .status = (int)status};
}

/* ---- logging in ------------------------------------------------------------------------------ */

static size_t on_header(char *data, size_t size, size_t count, void *baton)
{
    static const char name[] = "WWW-Authenticate: NTLM ";
    const size_t skip = sizeof(name) - 1, length = size * count;
    lane_t *lane = baton;

    if (lane->login != NULL && length > skip && length - skip < sizeof(lane->challenge) &&
        strncasecmp(data, name, skip) == 0) {
        memcpy(lane->challenge, data + skip, length - skip);
        lane->challenge[strcspn(lane->challenge, "\r\n")] = '\0';
    }
    return length;
}

static void set_headers(lane_t *lane, const char *more)
{
    curl_slist_free_all(lane->headers);
    lane->headers = loop_headers(more);
    curl_easy_setopt(lane->easy, CURLOPT_HTTPHEADER, lane->headers);
}

static void step_login(lane_t *lane)
{
    char header[HEADER_BYTES];

    ntlm_step(lane->login, lane->challenge, header, sizeof(header));
    lane->challenge[0] = '\0';
    set_headers(lane, header);
    loop_begin(&loop, lane->easy);
}

/* With an empty envelope: nothing is asked for yet. */
static void begin_login(lane_t *lane)
{
    lane->login = ntlm_begin();
    lane->logins++;
    if (body != NULL) {
        curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDSIZE, 0L);
    }
    step_login(lane);
}

static void end_login(lane_t *lane)
{
    ntlm_end(lane->login);
    lane->login = NULL;
    lane->logins = 0;
    set_headers(lane, NULL);
    if (body != NULL) {
        curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDSIZE, body_size);
    }
    idle[idle_count++] = lane;
}

static void on_login(lane_t *lane, CURLcode result, long status)
{
    if (result == CURLE_OK && status == 401 && lane->challenge[0] != '\0') {
        step_login(lane);
    }
    else if (result == CURLE_OK && status == 200) {
        end_login(lane);
    }
    else if (lane->logins < LOGINS_MAX) { /* its connection was closed between two steps */
        ntlm_end(lane->login);
        lane->challenge[0] = '\0';
        begin_login(lane);
    }
    else {
        loop_die("load: a log-in was answered with %ld: %s", status, curl_easy_strerror(result));
    }
}

/* What is refused costs the connection. */
static void on_done(CURL *easy, CURLcode result)
{
    lane_t *lane;
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &lane);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    status = result == CURLE_OK ? status : 0;
    if (lane->login != NULL) {
        on_login(lane, result, status);
        return;
    }
    ended++;
    count_request(lane, status);
    if (status == 200) {
        idle[idle_count++] = lane;
    }
    else {
        begin_login(lane);
    }
}

static void open_connections(void)
{
    ntlm_use(options.users);
    for (long i = 0; i < options.connections; i++) {
        lane_t *lane = &lanes[i];

        lane->easy = loop_exchange(options.url, options.ca, body, body_size);
        snprintf(lane->address, sizeof(lane->address), "host!127.1.%ld.%ld", i / 250, i % 250 + 1);
        curl_easy_setopt(lane->easy, CURLOPT_INTERFACE, lane->address);
        curl_easy_setopt(lane->easy, CURLOPT_IPRESOLVE, CURL_IPRESOLVE_V4);
        curl_easy_setopt(lane->easy, CURLOPT_HEADERFUNCTION, on_header);
        curl_easy_setopt(lane->easy, CURLOPT_HEADERDATA, lane);
        curl_easy_setopt(lane->easy, CURLOPT_PRIVATE, lane);
        begin_login(lane);
    }
    while (idle_count < options.connections) {
        loop_turn(&loop, loop_clock() + 1);
    }
}

/* How many requests were to begin by now. */
static long due(double now)
{
    long wanted = options.rate > 0 ? (long)((now - start) * (double)options.rate) + 1 : REQUESTS_MAX;

    return wanted < REQUESTS_MAX ? wanted : REQUESTS_MAX;
}

static void measure(void)
{
    double now = start = loop_clock();

    end = start + (double)options.seconds;
    while (now < end && begun < REQUESTS_MAX) {
        while (idle_count > 0 && begun < due(now)) {
            begin_request(options.rate > 0 ? start + (double)begun / (double)options.rate : loop_clock());
        }
        loop_turn(&loop,
                  options.rate > 0 && idle_count > 0 ? start + (double)begun / (double)options.rate : end);
        now = loop_clock();
    }
    while (ended < begun) {
        loop_turn(&loop, loop_clock() + 1);
    }
}

/* ---- what came of it ------------------------------------------------------------------------- */

static void write_samples(void)
{
    FILE *out = fopen(options.samples, "w");

    if (out == NULL) {
        loop_die("load: %s cannot be written: %s", options.samples, strerror(errno));
    }
    for (long i = 0; i < samples_count; i++) {
        fprintf(out, "%.6f %.3f %d\n", samples[i].began, (double)samples[i].milliseconds, samples[i].status);
    }
    fclose(out);
}

static int by_time(const void *left, const void *right)
{
    float a = ((const sample_t *)left)->milliseconds;
    float b = ((const sample_t *)right)->milliseconds;

    return (a > b) - (a < b);
}

static double percentile(double share)
{
    long rank = (long)(share * (double)samples_count);

    return samples_count > 0 ? (double)samples[rank < samples_count ? rank : samples_count - 1].milliseconds
                             : 0;
}

static void report(double cpu)
{
    double seconds = loop_clock() - start;
    long unsent = options.rate > 0 ? due(end) - 1 - begun : 0;
    long ok = 0, refused = 0;

    for (long i = 0; i < samples_count; i++) {
        ok += samples[i].status == 200;
        refused += samples[i].status != 200 && samples[i].status != 0;
    }
    if (options.samples != NULL) {
        write_samples();
    }
    qsort(samples, (size_t)samples_count, sizeof(*samples), by_time);
    printf("{\"requests\":%ld,\"ok\":%ld,\"refused\":%ld,\"failed\":%ld,\"unsent\":%ld,\"reconnects\":%ld,"
           "\"bytes\":%.0f,\"seconds\":%.6f,\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f,\"cpu\":%.3f}\n",
           begun, ok, refused, samples_count - ok - refused, unsent > 0 ? unsent : 0, reconnects, bytes,
           seconds, percentile(0.5), percentile(0.99), percentile(1), cpu);
}

int main(int argc, char **argv)
{
    double cpu;

    read_options(argc, argv);
    samples = calloc(REQUESTS_MAX, sizeof(*samples));
    if (samples == NULL) {
        loop_die("load: no memory");
    }
    if (options.body != NULL) {
        read_body(options.body);
    }
    loop_init(&loop, on_done);
    open_connections();
    cpu = loop_cpu();
    measure();
    report(loop_cpu() - cpu);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the calls to a fleet cost without any logic: the requests of one unlock, as they were recorded, to each PC.
 *
 *   floor CA SYSTEMS CALLS CONNECTIONS
 *
 * CA verifies the PCs. SYSTEMS has a line "fqdn,address,user,password" a PC. CALLS has each request as a line with its
 * bytes and then those bytes and a line feed. CONNECTIONS PCs are talked to at a time, over TLS and with digest; a PC's calls
 * follow each other on its connection, without a pause, and nothing reads the answers.
 * Prints {"pcs":N,"requests":N,"failed":N,"seconds":S,"cpu":S}; failed counts answers other than 200.
 */
#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 100
#define PCS_MAX 65535L
#define LINE_BYTES 1024
#define BODY_MAX 100000L
#define PORT 16993

typedef struct call_t {
    char *body;
    long size;
} call_t;

/* A PC that is talked to, and the handle that is used for it. */
typedef struct talk_t {
    CURL *easy;
    struct curl_slist *address;
    char url[LINE_BYTES];
    int call; /* which one is under way */
} talk_t;

static loop_t loop;
static call_t calls[CALLS_MAX];
static int calls_count;
static FILE *systems;
static const char *ca;
static long pcs, requests, failed, under_way;

static void read_calls(const char *file)
{
    FILE *in = fopen(file, "rb");
    char line[LINE_BYTES];

    if (in == NULL) {
        loop_die("%s cannot be read", file);
    }
    while (calls_count < CALLS_MAX && fgets(line, sizeof(line), in) != NULL) {
        call_t *call = &calls[calls_count++];

        line[strcspn(line, "\n")] = '\0';
        call->size = loop_number("bytes", line, BODY_MAX);
        call->body = malloc((size_t)call->size + 1);
        if (call->body == NULL ||
            fread(call->body, 1, (size_t)call->size + 1, in) != (size_t)call->size + 1) {
            loop_die("%s ends too early", file);
        }
    }
    fclose(in);
    if (calls_count == 0) {
        loop_die("%s has no call", file);
    }
}

static void begin_call(talk_t *talk)
{
    curl_easy_setopt(talk->easy, CURLOPT_POSTFIELDS, calls[talk->call].body);
    curl_easy_setopt(talk->easy, CURLOPT_POSTFIELDSIZE, calls[talk->call].size);
    curl_easy_setopt(talk->easy, CURLOPT_FORBID_REUSE,
                     (long)(talk->call + 1 == calls_count)); /* closed behind it */
    requests++;
    loop_begin(&loop, talk->easy);
}

/* Begins with the next PC of the list; 0 when there is none. */
static int begin_next(void)
{
    char line[LINE_BYTES], to[LINE_BYTES];
    char *fqdn, *address, *user, *password, *state;
    talk_t *talk;

    if (fgets(line, sizeof(line), systems) == NULL || pcs == PCS_MAX) {
        return 0;
    }
    fqdn = strtok_r(line, ",", &state);
    address = strtok_r(NULL, ",", &state);
    user = strtok_r(NULL, ",", &state);
    password = strtok_r(NULL, "\n", &state);
    talk = calloc(1, sizeof(*talk));
    if (password == NULL || talk == NULL) {
        loop_die("the list of PCs has a line that is not fqdn,address,user,password; or there is no memory");
    }
    snprintf(talk->url, sizeof(talk->url), "https://%s:%d/wsman", fqdn, PORT);
    snprintf(to, sizeof(to), "::%s:%d", address, PORT);
    talk->address = curl_slist_append(NULL, to);
    talk->easy = loop_exchange(talk->url, ca, calls[0].body, calls[0].size);
    curl_easy_setopt(talk->easy, CURLOPT_CONNECT_TO, talk->address);
    curl_easy_setopt(talk->easy, CURLOPT_HTTPAUTH, CURLAUTH_DIGEST);
    curl_easy_setopt(talk->easy, CURLOPT_USERNAME, user);
    curl_easy_setopt(talk->easy, CURLOPT_PASSWORD, password);
    curl_easy_setopt(talk->easy, CURLOPT_PRIVATE, talk);
    pcs++;
    under_way++;
    begin_call(talk);
    return 1;
}

static void end_talk(talk_t *talk)
{
    curl_easy_cleanup(talk->easy);
    curl_slist_free_all(talk->address);
    free(talk);
    under_way--;
    begin_next();
}

static void on_done(CURL *easy, CURLcode result)
{
    talk_t *talk;
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &talk);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    failed += result != CURLE_OK || status != 200;
    if (result == CURLE_OK && ++talk->call < calls_count) {
        begin_call(talk);
    }
    else {
        end_talk(talk);
    }
}

int main(int argc, char **argv)
{
    double began = loop_clock(), cpu = loop_cpu();
    long connections;

    if (argc != 5) {
        loop_die("usage: floor CA SYSTEMS CALLS CONNECTIONS");
    }
    ca = argv[1];
    systems = fopen(argv[2], "r");
    if (systems == NULL) {
        loop_die("%s cannot be read", argv[2]);
    }
    read_calls(argv[3]);
    connections = loop_number("connections", argv[4], PCS_MAX);
    loop_init(&loop, on_done);
    while (connections-- > 0 && begin_next()) {
    }
    while (under_way > 0) {
        loop_turn(&loop, loop_clock() + 1);
    }
    printf("{\"pcs\":%ld,\"requests\":%ld,\"failed\":%ld,\"seconds\":%.6f,\"cpu\":%.6f}\n", pcs, requests,
           failed, loop_clock() - began, loop_cpu() - cpu);
    return 0;
}

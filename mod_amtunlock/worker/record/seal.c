/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/record/seal_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <openssl/hmac.h>

#include <apr_strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/system_log.h"
#include "worker/record/seal.h"

#define SEAL_EVERY apr_time_from_sec(10)
#define AUDIT_SEAL_BROKEN "seal-broken"

static const char *machine_file(void)
{
#ifdef AMTUNLOCK_TEST
    const char *other = getenv("AMTUNLOCK_TEST_MACHINE_ID");

    if (other != NULL) {
        return other;
    }
#endif
    return "/etc/machine-id";
}

/* The id itself is to be told to nobody (machine-id(5)), so it is a key here. "" where there is none. */
static void read_machine(char digits[DIGEST_DIGITS + 1])
{
    static const unsigned char purpose[] = "amtunlock: the seal of an audit record";
    unsigned char id[64], code[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    FILE *file = fopen(machine_file(), "re");
    size_t count = file != NULL ? fread(id, 1, sizeof(id), file) : 0;

    digits[0] = '\0';
    if (count > 0 && HMAC(EVP_sha256(), id, (int)count, purpose, sizeof(purpose), code, &length) != NULL) {
        digest_write_hex(digits, code, length);
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* Hosts that were cloned may share a name, and containers of one image what they take for their machine's id. */
int seal_name(const char *file, char name[DIGEST_DIGITS + 1])
{
    char host[256] = "", machine[DIGEST_DIGITS + 1];
    digest_t digest;

    gethostname(host, sizeof(host) - 1);
    read_machine(machine);
    digest_begin(&digest);
    digest_add(&digest, machine, strlen(machine) + 1);
    digest_add(&digest, host, strlen(host) + 1);
    digest_add(&digest, file, strlen(file));
    return digest_end(&digest, name);
}

void seal_init(seal_t *seal, const char *file)
{
    seal->file = file;
    if (!seal_name(file, seal->name)) {
        seal->due = APR_INT64_MAX; /* no memory: there is no seal */
    }
}

/* Into the record, the log and the system log. */
static void say_broken(recorder_t *recorder, const char *seal, const char *fault)
{
    char line[900];
    json_t *fields = json_pack("{s:s, s:s, s:s}", "worker", recorder->worker, "sealed", seal, "text", fault);

    log_error("AMTU0624", "the audit record does not go on from where it was sealed", "text", fault, "sealed",
              seal);
    apr_snprintf(line, sizeof(line),
                 "the audit record does not go on from where it was sealed (AMTU0624): %s (%s)", fault, seal);
    if (system_log(LOG_ALERT, line) != SYSTEM_LOG_TAKEN) {
        log_warn("AMTU0457", "the system log did not take that the audit record is broken");
    }
    if (recorder_add(recorder, AUDIT_SEAL_BROKEN, fields) != APR_SUCCESS) {
        log_error("AMTU0625", "audit line was not taken", "event", AUDIT_SEAL_BROKEN);
    }
    recorder_commit(recorder);
}

/* Nonzero: compared, or there was none. */
static int judge_seal(seal_t *seal, recorder_t *recorder, jobs_client_t *connection, apr_pool_t *pool)
{
    const char *text = "", *fault = NULL;

    if (jobs_seal_read(connection, seal->name, &text, pool).outcome != JOBS_OK) {
        return 0;
    }
    fault = audit_judge_seal(seal->file, text, pool);
    if (fault != NULL) {
        say_broken(recorder, text, fault);
    }
    return 1;
}

/* The head as it is now, unless it is sealed already. */
static void write_seal(seal_t *seal, recorder_t *recorder, jobs_client_t *connection, apr_pool_t *pool)
{
    char head[RECORDER_HEAD_MAX];

    recorder_head(recorder, head, sizeof(head));
    if (recorder_count(recorder) > 0 && strcmp(head, seal->sealed) != 0) {
        seal->due = clock_boottime() + SEAL_EVERY;
        if (jobs_seal_write(connection, seal->name, head, pool).outcome == JOBS_OK) {
            apr_cpystrn(seal->sealed, head, sizeof(seal->sealed));
        }
    }
}

void seal_keep(seal_t *seal, recorder_t *recorder, jobs_client_t *connection, apr_pool_t *pool)
{
    if (clock_boottime() < seal->due || recorder_is_failing(recorder)) {
        return;
    }
    if (!seal->judged) {
        seal->judged = judge_seal(seal, recorder, connection, pool);
    }
    if (seal->judged) {
        write_seal(seal, recorder, connection, pool);
    }
}

void seal_last(seal_t *seal, recorder_t *recorder, jobs_client_t *connection, apr_pool_t *pool)
{
    seal->due = 0;
    seal_keep(seal, recorder, connection, pool);
}

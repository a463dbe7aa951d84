/* SPDX-License-Identifier: Apache-2.0 */
/* The command against a service that is played from a script: each step says what the request must hold and
 * what it is answered with, byte for byte. The product's own writer has no part in the answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>
#include <jansson.h>

#include "console/console_priv.h"
#include "wsman/envelope.h"

#define ID "amtunlock:abcdefghijklmnopqrstuvwxyz"
#define AMT "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_RemoteEncryptionService"
#define CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define REQUEST_MAX 65536

/* ---- the played service -------------------------------------------------------------------------------- */

#define INTERRUPT (-1)
#define SAME "same" /* expected of a request: the MessageID of the first of those */

typedef struct {
    const char *expect[3]; /* each must stand in the request */
    int status;            /* 0: close without an answer; INTERRUPT: likewise, after Ctrl-C */
    const char *type;      /* NULL: application/soap+xml */
    const char *body;      /* of s:Body, or the whole answer with another type */
} step_t;

typedef struct {
    apr_pool_t *pool;
    console_t console;
    char *out, *err;
    size_t out_length, err_length;
    int listener;
    const char *url;
    pthread_t thread;
    const step_t *steps;
    int count;
    int played;       /* how many steps were asked for */
    int kept;         /* the answers of so many first steps leave the connection open */
    char message[64]; /* MessageID of the first request that has to keep it; "" */
    char fault[256];  /* what was not as expected; "" */
} fixture_t;

/* Reads one request whole; its length, or 0. */
static size_t read_request(int fd, char *text)
{
    size_t length = 0, wanted = REQUEST_MAX;

    while (length < wanted && length < REQUEST_MAX - 1) {
        ssize_t count = read(fd, text + length, REQUEST_MAX - 1 - length);
        char *body, *field;

        if (count <= 0) {
            return 0;
        }
        length += (size_t)count;
        text[length] = '\0';
        body = strstr(text, "\r\n\r\n");
        field = strcasestr(text, "content-length:");
        if (body && field) {
            wanted = (size_t)(body + 4 - text) + strtoul(field + 15, NULL, 10);
        }
    }
    return length;
}

static void answer(int fd, const step_t *step, int keep)
{
    static const char head[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope "
        "xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" "
        "xmlns:wsa=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" "
        "xmlns:wsman=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" "
        "xmlns:wsen=\"http://schemas.xmlsoap.org/ws/2004/09/enumeration\"><s:Header>"
        "<wsa:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To>"
        "<wsa:Action>urn:x</wsa:Action><wsa:MessageID>uuid:1</wsa:MessageID><wsa:RelatesTo>uuid:0</"
        "wsa:RelatesTo>"
        "</s:Header><s:Body>";
    static const char tail[] = "</s:Body></s:Envelope>";
    int whole = step->type != NULL;
    size_t length = strlen(step->body) + (whole ? 0 : sizeof(head) + sizeof(tail) - 2);

    dprintf(fd, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\n\r\n",
            step->status, whole ? step->type : "application/soap+xml;charset=UTF-8", length,
            keep ? "keep-alive" : "close");
    dprintf(fd, "%s%s%s", whole ? "" : head, step->body, whole ? "" : tail);
}

/* What must stand in this request for SAME. */
static const char *same_message(fixture_t *fixture, const char *text)
{
    const char *id = strstr(text, "uuid:");

    if (!*fixture->message && id) {
        apr_cpystrn(fixture->message, id, 5 + 36 + 1);
    }
    return fixture->message;
}

static void check(fixture_t *fixture, const step_t *step, const char *text)
{
    for (int i = 0; i < 3 && step->expect[i]; i++) {
        const char *expected = step->expect[i];

        if (!strcmp(expected, SAME)) {
            expected = same_message(fixture, text);
        }
        if (!strstr(text, expected) && !*fixture->fault) {
            apr_snprintf(fixture->fault, sizeof(fixture->fault), "step %d: no '%s' in the request",
                         fixture->played, expected);
        }
    }
}

/* One request and its answer. True if the next one may come on this connection. */
static int play(fixture_t *fixture, int fd, char *text)
{
    const step_t *step = fixture->played < fixture->count ? &fixture->steps[fixture->played] : NULL;

    if (read_request(fd, text) == 0) {
        return 0;
    }
    if (!step) {
        apr_cpystrn(fixture->fault, "one request more than scripted", sizeof(fixture->fault));
        return 0;
    }
    check(fixture, step, text);
    fixture->played++;
    if (step->status == INTERRUPT) {
        console_interrupted = 1;
        return 0;
    }
    if (step->status) {
        answer(fd, step, fixture->played <= fixture->kept);
    }
    return step->status && fixture->played <= fixture->kept;
}

/* True if the next request comes on this connection, not on a new one. */
static int comes_here(const fixture_t *fixture, int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = fixture->listener, .events = POLLIN}};

    return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

static void *serve(void *data)
{
    fixture_t *fixture = data;
    char *text = malloc(REQUEST_MAX);
    int fd;

    while ((fd = accept(fixture->listener, NULL, NULL)) >= 0) {
        while (play(fixture, fd, text) && comes_here(fixture, fd)) {
        }
        close(fd);
    }
    free(text);
    return NULL;
}

/* A listener on a free port, for a run. */
static void open_listener(fixture_t *fixture)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    fixture->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fixture->listener, 16), 0);
    assert_int_equal(getsockname(fixture->listener, (struct sockaddr *)&address, &length), 0);
    fixture->url = apr_psprintf(fixture->pool, "http://127.0.0.1:%d/wsman", ntohs(address.sin_port));
    setenv("AMTU_URL", fixture->url, 1);
}

/* Another run in the same test. */
static void reopen(fixture_t *fixture)
{
    close(fixture->listener);
    open_listener(fixture);
}

static int setup(void **state)
{
    fixture_t *fixture;
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    fixture = apr_pcalloc(pool, sizeof(*fixture));
    fixture->pool = pool;
    open_listener(fixture);
    fixture->console.out = open_memstream(&fixture->out, &fixture->out_length);
    fixture->console.err = open_memstream(&fixture->err, &fixture->err_length);
    setenv("no_proxy", "*", 1);
    console_interrupted = 0;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *fixture = *state;

    fclose(fixture->console.out);
    fclose(fixture->console.err);
    free(fixture->out);
    free(fixture->err);
    close(fixture->listener);
    apr_pool_destroy(fixture->pool);
    return 0;
}

/* Runs the command line against the script; every step must have been asked for, as expected. */
static console_exit_e run(fixture_t *fixture, const char *line, const step_t *steps, int count)
{
    console_exit_e status;
    char **argv;
    int argc = 0;

    fixture->steps = steps;
    fixture->count = count;
    fixture->played = 0;
    *fixture->message = '\0';
    assert_int_equal(apr_tokenize_to_argv(line, &argv, fixture->pool), APR_SUCCESS);
    while (argv[argc]) {
        argc++;
    }
    assert_int_equal(pthread_create(&fixture->thread, NULL, serve, fixture), 0);
    status = console_run(argc, argv, &fixture->console, fixture->pool);
    shutdown(fixture->listener, SHUT_RDWR); /* ends accept() */
    pthread_join(fixture->thread, NULL);
    fflush(fixture->console.out);
    fflush(fixture->console.err);
    if (*fixture->fault) {
        fail_msg("%s; standard error: %s", fixture->fault, fixture->err);
    }
    if (fixture->played != count) {
        fail_msg("only %d of %d requests came; standard error: %s", fixture->played, count, fixture->err);
    }
    return status;
}

#define RUN(fixture, line, steps) run(fixture, line, steps, (int)(sizeof(steps) / sizeof((steps)[0])))

/* ---- pieces of answers --------------------------------------------------------------------------------- */

#define OK 200, NULL
#define SERVICE(max)                                                                                         \
    "<p:AMT_RemoteEncryptionService xmlns:p=\"" AMT "\"><p:MaxSystemsPerRequest>" max                        \
    "</p:MaxSystemsPerRequest><p:Name>Remote Encryption Service</p:Name>"                                    \
    "<p:SystemName>web.example.com</p:SystemName></p:AMT_RemoteEncryptionService>"
#define STARTED STARTED_AS(ID)
#define STARTED_AS(id)                                                                                       \
    "<p:UnlockSystems_OUTPUT xmlns:p=\"" AMT                                                                 \
    "\"><p:Job><wsa:Address>x</wsa:Address><wsa:ReferenceParameters>"                                        \
    "<wsman:ResourceURI>" CIM "CIM_ConcreteJob</wsman:ResourceURI><wsman:SelectorSet>"                       \
    "<wsman:Selector Name=\"InstanceID\">" id                                                                \
    "</wsman:Selector></wsman:SelectorSet></wsa:ReferenceParameters>"                                        \
    "</p:Job><p:ReturnValue>4096</p:ReturnValue></p:UnlockSystems_OUTPUT>"
#define JOB(state, percent, status) JOB_OF(ID, state, percent, status)
#define JOB_OF(id, state, percent, status)                                                                   \
    "<p:CIM_ConcreteJob xmlns:p=\"" CIM "CIM_ConcreteJob\"><p:InstanceID>" id                                \
    "</p:InstanceID><p:JobState>" state "</p:JobState><p:JobStatus>" status                                  \
    "</p:JobStatus><p:PercentComplete>" percent "</p:PercentComplete></p:CIM_ConcreteJob>"
#define U(name) "<p:unlockedSystems>" name "</p:unlockedSystems>"
#define F(name) "<p:failedSystems>" name "</p:failedSystems>"
#define RESULTS(names)                                                                                       \
    "<p:GetUnlockedSystems_OUTPUT xmlns:p=\"" AMT "\">" names                                                \
    "<p:ReturnValue>0</p:ReturnValue></p:GetUnlockedSystems_OUTPUT>"
#define RESULTS_OF(pool, names, more) apr_psprintf(pool, RESULTS("%s%s"), names, more)
#define ERROR(name, code, message)                                                                           \
    "<p:Errors><e:ErrorSource xmlns:e=\"" CIM "CIM_Error\">" name                                            \
    "</e:ErrorSource><e:Message xmlns:e=\"" CIM "CIM_Error\">" message                                       \
    "</e:Message><e:MessageID xmlns:e=\"" CIM "CIM_Error\">" code                                            \
    "</e:MessageID><e:RecommendedActions xmlns:e=\"" CIM                                                     \
    "CIM_Error\">look at it</e:RecommendedActions></p:Errors>"
#define ERRORS(errors)                                                                                       \
    "<p:GetErrors_OUTPUT xmlns:p=\"" CIM "CIM_ConcreteJob\">" errors                                         \
    "<p:ReturnValue>0</p:ReturnValue></p:GetErrors_OUTPUT>"
#define FAULT(code, subcode, detail, reason)                                                                 \
    "<s:Fault><s:Code><s:Value>s:" code "</s:Value><s:Subcode><s:Value>" subcode                             \
    "</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang=\"en-US\">" reason                            \
    "</s:Text></s:Reason><s:Detail><wsman:FaultDetail>http://schemas.dmtf.org/wbem/wsman/1/wsman/"           \
    "faultDetail/" detail "</wsman:FaultDetail></s:Detail></s:Fault>"

#define GET_SERVICE(max)                                                                                     \
    {                                                                                                        \
        {"transfer/Get<", AMT}, OK, SERVICE(max)                                                             \
    }
#define GET_JOB(state, percent, status)                                                                      \
    {                                                                                                        \
        {"transfer/Get<", "CIM_ConcreteJob", ID}, OK, JOB(state, percent, status)                            \
    }
#define GET_RESULTS(names)                                                                                   \
    {                                                                                                        \
        {"/GetUnlockedSystems<", ID}, OK, RESULTS(names)                                                     \
    }

/* ---- tests --------------------------------------------------------------------------------------------- */

static void test_unlock_without_waiting(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("20"),
        {{AMT "/UnlockSystems<", ">a.example</", ">b.example</"}, OK, STARTED},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a.example b.example", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, ID "\n");
    assert_non_null(strstr(fixture->err, "warning: http://127.0.0.1"));
}

static void test_unlock_and_wait(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("20"),
        {{"/UnlockSystems<"}, OK, STARTED},
        GET_JOB("2", "0", "0 of 3 unlocked"),
        GET_RESULTS(""),
        GET_JOB("4", "33", "1 of 3 unlocked"),
        {{"/GetUnlockedSystems<", "First>0<", "Count>500<"}, OK, RESULTS(U("b.example"))},
        GET_JOB("4", "33", "1 of 3 unlocked"), /* nothing new: no lists are asked for */
        GET_JOB("7", "100", "2 of 3 unlocked, 1 failed"),
        GET_RESULTS(U("a.example") U("b.example") F("c.example")),
        {{CIM "CIM_ConcreteJob/GetErrors<", "First>0<", "Count>500<"},
         OK,
         ERRORS(ERROR("c.example", "unreachable", "no answer"))},
        GET_JOB("7", "100", "2 of 3 unlocked, 1 failed"),
        GET_RESULTS(U("a.example") U("b.example") F("c.example")),
        {{"/GetErrors<"}, OK, ERRORS(ERROR("c.example", "unreachable", "no answer"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a.example b.example c.example", steps),
                     CONSOLE_FAILED);
    assert_string_equal(fixture->out, "unlocked  b.example\n"
                                      "unlocked  a.example\n"
                                      "failed    c.example  unreachable: no answer\n"
                                      "2 of 3 unlocked, 1 failed: c.example unreachable\n");
    assert_non_null(strstr(fixture->err, "job " ID "\n"));
}

static void test_wait_for_programs(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("0"), /* a service that does not say its maximum */
        {{"/UnlockSystems<"}, OK, STARTED},
        GET_JOB("7", "100", "1 of 1 unlocked"),
        GET_JOB("7", "100", "1 of 1 unlocked"),
        GET_RESULTS(U("a.example")),
    };
    fixture_t *fixture = *state;
    json_t *object;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait --json a.example", steps), CONSOLE_DONE);
    object = json_loads(fixture->out, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "state")), "Completed");
    assert_int_equal(json_array_size(json_object_get(object, "unlocked")), 1);
    assert_int_equal(json_array_size(json_object_get(object, "failed")), 0);
    json_decref(object);
}

/* What the service says beside the figures is told without a terminal, too, each once. */
static void test_a_remark_of_the_service_is_told(void **state)
{
    static const step_t steps[] = {
        GET_JOB("2", "0", "0 of 1 unlocked, 1 waiting"),
        GET_RESULTS(""),
        GET_JOB("2", "0", "0 of 1 unlocked, 1 waiting; no worker is running"),
        GET_RESULTS(""),
        GET_JOB("2", "0", "0 of 1 unlocked, 1 waiting; no worker is running"),
        GET_JOB("4", "0", "0 of 1 unlocked, 1 running"),
        GET_RESULTS(""),
        GET_JOB("7", "100", "1 of 1 unlocked"),
        GET_RESULTS(U("a.example")),
        GET_JOB("7", "100", "1 of 1 unlocked"),
        GET_RESULTS(U("a.example")),
    };
    fixture_t *fixture = *state;
    const char *told;

    assert_int_equal(RUN(fixture, "amtunlock status --wait " ID, steps), CONSOLE_DONE);
    told = strstr(fixture->err, "amtunlock: no worker is running\n");
    assert_non_null(told);
    assert_null(strstr(told + 20, "no worker"));
}

/* The service goes away while a job runs: the command waits, says so once, and goes on. */
static void test_service_away_for_a_while(void **state)
{
    static const step_t steps[] = {
        GET_JOB("4", "0", "0 of 1 unlocked"),
        GET_RESULTS(""),
        {{"transfer/Get<"}, 0, NULL, NULL},
        {{"transfer/Get<"},
         500,
         NULL,
         FAULT("Receiver", "wsa:EndpointUnavailable", "x", "the store is away")},
        {{"transfer/Get<"}, 503, "text/html", "<html>"},
        GET_JOB("7", "100", "1 of 1 unlocked"),
        GET_RESULTS(U("a.example")),
        GET_JOB("7", "100", "1 of 1 unlocked"),
        GET_RESULTS(U("a.example")),
    };
    fixture_t *fixture = *state;
    const char *first;

    assert_int_equal(RUN(fixture, "amtunlock status --wait " ID, steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, "unlocked  a.example\n1 of 1 unlocked\n");
    first = strstr(fixture->err, "the job goes on, trying again");
    assert_non_null(first);
    assert_null(strstr(first + 20, "the job goes on"));
}

static void test_a_fault_ends_waiting(void **state)
{
    static const step_t steps[] = {
        {{"transfer/Get<"},
         400,
         NULL,
         FAULT("Sender", "wsa:DestinationUnreachable", "InvalidResourceURI", "no such job")},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock status --wait abcdefghijklmnopqrstuvwxyz", steps),
                     CONSOLE_SERVICE);
    assert_non_null(
        strstr(fixture->err, "the service refused: no such job (DestinationUnreachable/InvalidResourceURI)"));
    assert_non_null(strstr(fixture->err, "go on with: amtunlock status --wait " ID));
}

static void test_interrupted(void **state)
{
    static const step_t steps[] = {{{NULL}, 200, "text/plain", ""}};
    fixture_t *fixture = *state;

    console_interrupted = 1;
    assert_int_equal(run(fixture, "amtunlock status --wait " ID, steps, 0), CONSOLE_INTERRUPTED);
    assert_non_null(strstr(fixture->err, "go on with: amtunlock status --wait " ID));
}

static void test_status(void **state)
{
    static const step_t steps[] = {
        GET_JOB("4", "50", "1 of 2 unlocked"),
        GET_RESULTS(U("a.example")),
    };
    fixture_t *fixture = *state;

    /* a job that runs has failed nothing for good: the question is answered */
    assert_int_equal(RUN(fixture, "amtunlock status abcdefghijklmnopqrstuvwxyz", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, ID "  Running  50%  1 of 2 unlocked\nunlocked  a.example\n");
}

static void test_status_of_a_failed_job(void **state)
{
    static const step_t steps[] = {
        GET_JOB("8", "100", "0 of 2 unlocked, 2 failed"),
        {{"/GetUnlockedSystems<", "First>0<", "Count>500<"}, OK, RESULTS(F("a.example") F("B.example"))},
        {{"/GetErrors<"}, OK, ERRORS(ERROR("a.example", "cancelled", "cancelled"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock status " ID, steps), CONSOLE_FAILED);
    assert_non_null(strstr(fixture->out, "failed    a.example  cancelled: cancelled\n"));
    assert_non_null(strstr(fixture->out, "failed    B.example  internal: the service gave no reason\n"));
}

/* More names than a window: asked for until a window is not full. */
static void test_paging(void **state)
{
    fixture_t *fixture = *state;
    char *full = apr_pstrdup(fixture->pool, "");
    step_t steps[] = {
        GET_JOB("7", "100", "501 of 501 unlocked"),
        {{"First>0<", "Count>500<"}, OK, NULL},
        {{"First>500<", "Count>500<"}, OK, RESULTS(U("last.example"))},
    };

    for (int i = 0; i < 500; i++) {
        full = apr_psprintf(fixture->pool, "%s<p:unlockedSystems>pc-%03d</p:unlockedSystems>", full, i);
    }
    steps[1].body = RESULTS_OF(fixture->pool, full, "");
    assert_int_equal(RUN(fixture, "amtunlock status " ID, steps), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, "unlocked  pc-499\nunlocked  last.example\n"));
}

/* Reasons are asked for in the windows that have a failed name, and in no other. */
static void test_paging_of_errors(void **state)
{
    fixture_t *fixture = *state;
    const char *full = "";
    step_t steps[] = {
        GET_JOB("7", "100", "1001 of 1003 unlocked, 2 failed"),
        {{"/GetUnlockedSystems<", "First>0<"}, OK, NULL},
        {{"/GetUnlockedSystems<", "First>500<"}, OK, NULL},
        {{"/GetErrors<", "First>500<", "Count>500<"}, OK, ERRORS(ERROR("bad.example", "busy", "taken"))},
        {{"/GetUnlockedSystems<", "First>1000<"}, OK, RESULTS(U("x") F("last.example") U("y"))},
        {{"/GetErrors<", "First>1000<", "Count>500<"}, OK, ERRORS(ERROR("last.example", "timeout", "late"))},
    };

    for (int i = 0; i < 499; i++) {
        full = apr_psprintf(fixture->pool, "%s<p:unlockedSystems>pc-%03d</p:unlockedSystems>", full, i);
    }
    steps[1].body = RESULTS_OF(fixture->pool, full, U("pc-499"));
    steps[2].body = RESULTS_OF(fixture->pool, full, F("bad.example"));
    assert_int_equal(RUN(fixture, "amtunlock errors " ID, steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, "failed    bad.example  busy: taken\n          look at it\n"
                                      "failed    last.example  timeout: late\n          look at it\n");
}

/* How many names a job has is not known while it runs: the windows go on until each failed name has been
 * met, and others may have failed since. */
static void test_errors_of_a_running_job(void **state)
{
    static const step_t steps[] = {
        GET_JOB("4", "50", "1 of 900 unlocked, 1 failed"),
        GET_RESULTS(U("a.example") F("b.example")),
        {{"/GetErrors<", "First>0<", "Count>500<"}, OK, ERRORS(ERROR("since.example", "busy", "taken"))},
        {{"/GetErrors<", "First>500<", "Count>500<"}, OK, ERRORS(ERROR("b.example", "timeout", "late"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock errors " ID, steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, "failed    b.example  timeout: late\n          look at it\n");
}

static void test_errors(void **state)
{
    static const step_t steps[] = {
        GET_JOB("7", "100", "0 of 2 unlocked, 2 failed"),
        GET_RESULTS(F("a.example") F("b.example")),
        {{"/GetErrors<", ID},
         OK,
         ERRORS(ERROR("a.example", "timeout", "late") ERROR("b.example", "busy", "taken"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock errors " ID, steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, "failed    a.example  timeout: late\n          look at it\n"
                                      "failed    b.example  busy: taken\n          look at it\n");
}

#define STATE_CHANGE(value)                                                                                  \
    "<p:RequestStateChange_OUTPUT xmlns:p=\"" CIM "CIM_ConcreteJob\"><p:ReturnValue>" value                  \
    "</p:ReturnValue></p:RequestStateChange_OUTPUT>"

static void test_cancel(void **state)
{
    static const step_t steps[] = {
        {{"/RequestStateChange<", "RequestedState>4<", ID}, OK, STATE_CHANGE("0")},
        GET_JOB("8", "100", "0 of 1 unlocked, 1 failed"),
        GET_RESULTS(F("a.example")),
        {{"/GetErrors<"}, OK, ERRORS(ERROR("a.example", "cancelled", "cancelled"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock cancel " ID, steps), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, "Terminated"));
}

static void test_cancel_of_an_ended_job(void **state)
{
    static const step_t steps[] = {{{"/RequestStateChange<"}, OK, STATE_CHANGE("4097")}};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock cancel " ID, steps), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->err, "the job has ended already"));
}

static void test_jobs(void **state)
{
    static const step_t steps[] = {
        {{"enumeration/Enumerate<", "OptimizeEnumeration", "CIM_ConcreteJob"},
         OK,
         "<wsen:EnumerateResponse><wsen:EnumerationContext>c1</wsen:EnumerationContext><wsman:Items>" JOB(
             "4", "50", "1 of 2 unlocked") "</wsman:Items></wsen:EnumerateResponse>"},
        {{"enumeration/Pull<", ">c1<"},
         OK,
         "<wsen:PullResponse><wsen:EnumerationContext>c2</wsen:EnumerationContext><wsen:Items>" JOB(
             "7", "100", "done") "</wsen:Items></wsen:PullResponse>"},
        {{"enumeration/Pull<", ">c2<"},
         OK,
         "<wsen:PullResponse><wsen:Items/><wsen:EndOfSequence/></wsen:PullResponse>"},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock jobs", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out,
                        ID "  Running      50%  1 of 2 unlocked\n" ID "  Completed   100%  done\n");
}

static void test_service_without_a_list(void **state)
{
    static const step_t steps[] = {
        {{"enumeration/Enumerate<"},
         400,
         NULL,
         FAULT("Sender", "wsa:ActionNotSupported", "ActionMismatch", "no Enumerate here")},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock jobs", steps), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->err, "no Enumerate here (ActionNotSupported/ActionMismatch)"));
    assert_non_null(strstr(fixture->err, "older than this command"));
}

static void test_info(void **state)
{
    static const step_t steps[] = {
        {{"Identify"},
         OK,
         "<wsmid:IdentifyResponse "
         "xmlns:wsmid=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\">"
         "<wsmid:ProtocolVersion>x</wsmid:ProtocolVersion><wsmid:ProductVendor>mod_amtunlock</"
         "wsmid:ProductVendor>"
         "<wsmid:ProductVersion>0.1</wsmid:ProductVersion></wsmid:IdentifyResponse>"},
        GET_SERVICE("100"),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock info", steps), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, "mod_amtunlock 0.1\nRemote Encryption Service on web.example.com\n"
                                         "at most 100 systems in one request\n"));
}

/* Each way of being refused, with its exit status and something to do. */
static void refusal(fixture_t *fixture, const step_t *step, console_exit_e status, const char *what,
                    const char *advice)
{
    assert_int_equal(run(fixture, "amtunlock errors " ID, step, 1), status);
    if (!strstr(fixture->err, what) || !strstr(fixture->err, advice)) {
        fail_msg("said: %s", fixture->err);
    }
    assert_true(fixture->out == NULL || *fixture->out == '\0');
}

static void test_no_ticket(void **state)
{
    static const step_t step = {{NULL}, 401, "text/html", "<html>"};

    refusal(*state, &step, CONSOLE_DENIED, "not authenticated (HTTP 401)", "kinit");
}

static void test_access_denied(void **state)
{
    static const step_t step = {{NULL}, 403, NULL, FAULT("Sender", "wsman:AccessDenied", "x", "not for you")};

    refusal(*state, &step, CONSOLE_DENIED, "not for you (AccessDenied/x)", "AMTUnlockScope");
}

static void test_forbidden_by_httpd(void **state)
{
    static const step_t step = {{NULL}, 403, "text/html", "<html>"};

    refusal(*state, &step, CONSOLE_DENIED, "access denied (HTTP 403)", "administrator");
}

static void test_not_a_service(void **state)
{
    static const step_t step = {{NULL}, 404, "text/html", "<html>"};

    refusal(*state, &step, CONSOLE_SERVICE, "not WS-Management (HTTP 404)", "AMTU_URL");
}

static void test_too_large_for_httpd(void **state)
{
    static const step_t step = {{NULL}, 413, "text/html", "<html>"};

    refusal(*state, &step, CONSOLE_SERVICE, "not WS-Management (HTTP 413)", "fewer systems");
}

static void test_garbage(void **state)
{
    static const step_t step = {{NULL}, 200, "application/soap+xml", "\x01 garbage"};

    refusal(*state, &step, CONSOLE_SERVICE, "the answer cannot be read", "");
}

static void test_another_answer(void **state)
{
    static const step_t step = {{NULL}, OK, SERVICE("1")};

    refusal(*state, &step, CONSOLE_SERVICE, "has no CIM_ConcreteJob", "may not be the service");
}

static void test_quota(void **state)
{
    static const step_t step = {{NULL}, 400, NULL, FAULT("Sender", "wsman:QuotaLimit", "x", "too many jobs")};

    refusal(*state, &step, CONSOLE_SERVICE, "too many jobs (QuotaLimit/x)", "wait until your earlier jobs");
}

static void test_nobody_there(void **state)
{
    fixture_t *fixture = *state;

    assert_int_equal(run(fixture, "amtunlock --url http://127.0.0.1:1/wsman info", NULL, 0), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->err, "check that the web server runs"));
}

#define NO_ANSWER 0, NULL, NULL
#define UNLOCK                                                                                               \
    {                                                                                                        \
        AMT "/UnlockSystems<", ">a.example<", SAME                                                           \
    }
#define NOT_KNOWN                                                                                            \
    500, NULL, FAULT("Receiver", "wsman:TimedOut", "x", "it is not known whether the job was started")
#define AWAY 500, NULL, FAULT("Receiver", "wsa:EndpointUnavailable", "x", "nothing was done")

/* A request without an answer may have arrived, whatever is said of its repeats: the same message is sent until an
 * answer says. */
static void test_an_unlock_that_was_not_answered_is_sent_again(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("20"),
        {UNLOCK, NO_ANSWER},
        {UNLOCK, NOT_KNOWN},
        {UNLOCK, AWAY},
        {UNLOCK, 502, "text/html", "<html>"},
        {UNLOCK, OK, STARTED},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a.example", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, ID "\n");
    assert_non_null(strstr(fixture->err, "the same message is sent again"));
    assert_null(strstr(strstr(fixture->err, "sent again") + 1, "sent again"));
}

/* libcurl sends again by itself, and says nothing of it, what had no answer on a connection that was used before. */
static void test_an_unlock_on_a_used_connection_that_ends_may_have_arrived(void **state)
{
    static const step_t away[] = {
        GET_SERVICE("20"), {UNLOCK, NO_ANSWER}, {UNLOCK, AWAY}, {UNLOCK, OK, STARTED}};
    static const step_t refused[] = {
        GET_SERVICE("20"), {UNLOCK, NO_ANSWER}, {UNLOCK, 403, "text/html", "<html>"}};
    fixture_t *fixture = *state;

    fixture->kept = 1;
    assert_int_equal(RUN(fixture, "amtunlock unlock a.example", away), CONSOLE_DONE);
    assert_string_equal(fixture->out, ID "\n");
    reopen(fixture);
    assert_int_equal(RUN(fixture, "amtunlock unlock a.example", refused), CONSOLE_UNKNOWN);
}

/* A refusal of the repeat says nothing of the first. */
static void test_what_stays_unknown_has_a_status_of_its_own(void **state)
{
    static const step_t unlock[] = {
        GET_SERVICE("20"), {UNLOCK, NOT_KNOWN}, {UNLOCK, 403, "text/html", "<html>"}};
    static const step_t cancel[] = {{{"/RequestStateChange<", SAME}, NO_ANSWER},
                                    {{"/RequestStateChange<", SAME}, 401, "text/html", "<html>"}};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a.example", unlock), CONSOLE_UNKNOWN);
    assert_non_null(strstr(fixture->err, "it is not known whether this was done"));
    assert_non_null(strstr(fixture->err, "see amtunlock jobs before asking again"));
    reopen(fixture);
    assert_int_equal(RUN(fixture, "amtunlock cancel " ID, cancel), CONSOLE_UNKNOWN);
    assert_non_null(strstr(fixture->err, "see: amtunlock status " ID));
}

/* Until the time for it is over. */
static void test_an_unlock_is_not_sent_again_for_ever(void **state)
{
    static const step_t steps[] = {GET_SERVICE("20"), {UNLOCK, NO_ANSWER}, {UNLOCK, NOT_KNOWN}};
    fixture_t *fixture = *state;

    setenv("AMTUNLOCK_TEST_PATIENCE_MS", "400", 1); /* less than the pause before the second time */
    assert_int_equal(RUN(fixture, "amtunlock unlock a.example", steps), CONSOLE_UNKNOWN);
    unsetenv("AMTUNLOCK_TEST_PATIENCE_MS");
}

/* Answers that nobody can read, and a fault that says that the service failed, are no refusals. */
static void test_answers_that_say_nothing_are_no_refusals(void **state)
{
    static const step_t steps[][2] = {
        {GET_SERVICE("20"), {UNLOCK, 200, "text/html", "<html>"}},
        {GET_SERVICE("20"), {UNLOCK, 500, "text/html", "<html>"}},
        {GET_SERVICE("20"), {UNLOCK, 200, "application/soap+xml", "<broken"}},
        {GET_SERVICE("20"), {UNLOCK, OK, "<p:Something xmlns:p=\"" AMT "\"/>"}},
        {GET_SERVICE("20"), {UNLOCK, 500, NULL, FAULT("Receiver", "wsman:InternalError", "x", "failed")}},
    };
    fixture_t *fixture = *state;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        assert_int_equal(RUN(fixture, "amtunlock unlock a.example", steps[i]), CONSOLE_UNKNOWN);
        reopen(fixture);
    }
}

static void test_what_is_certain_is_not_sent_again(void **state)
{
    static const step_t steps[] = {GET_SERVICE("20"), {UNLOCK, AWAY}};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a.example", steps), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->err, "nothing was done, try again"));
}

/* The job may have ended by the first of two requests to end it. */
static void test_a_cancel_that_was_not_answered_is_sent_again(void **state)
{
    static const step_t steps[] = {
        {{"/RequestStateChange<", SAME}, NO_ANSWER},
        {{"/RequestStateChange<", SAME}, OK, STATE_CHANGE("4097")},
        GET_JOB("8", "100", "0 of 1 unlocked"),
        GET_RESULTS(""),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock cancel " ID, steps), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, "Terminated"));
}

/* What fails afterwards does not hide that the job was started, or how it ended. */
static void test_a_started_job_is_named_whatever_fails_then(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("20"), {UNLOCK, OK, STARTED}, {{"transfer/Get<", "CIM_ConcreteJob"}, AWAY}};
    static const step_t end[] = {
        GET_JOB("7", "100", "1 of 1 unlocked"), GET_RESULTS(U("a.example")), {{"transfer/Get<"}, AWAY},
        GET_JOB("7", "100", "1 of 1 unlocked"), GET_RESULTS(U("a.example")),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --json a.example", steps), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->err, "the job is started; go on with: amtunlock status " ID));
    reopen(fixture);
    assert_int_equal(RUN(fixture, "amtunlock status --wait " ID, end), CONSOLE_DONE);
}

static void test_name_that_xml_forbids(void **state)
{
    static const step_t steps[] = {GET_SERVICE("20")};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture,
                         "amtunlock unlock a\x01"
                         "b",
                         steps),
                     CONSOLE_USAGE);
    assert_non_null(strstr(fixture->err, "cannot be written as XML"));
}

/* ---- lists that take several requests ------------------------------------------------------------------ */

#define FIRST "amtunlock:aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SECOND "amtunlock:bbbbbbbbbbbbbbbbbbbbbbbbbb"
#define THIRD "amtunlock:cccccccccccccccccccccccccc"
#define LAST(name) name "</p:systems></p:UnlockSystems_INPUT>"
#define PART_STARTED(first, last, id)                                                                        \
    {                                                                                                        \
        {"<p:UnlockSystems_INPUT xmlns:p=\"" AMT "\"><p:systems>" first "<", LAST(last)}, OK, STARTED_AS(id) \
    }
#define PART_REFUSED(first, last, subcode, reason)                                                           \
    {                                                                                                        \
        {"<p:UnlockSystems_INPUT xmlns:p=\"" AMT "\"><p:systems>" first "<", LAST(last)}, 400, NULL,         \
            FAULT("Sender", subcode, "x", reason)                                                            \
    }
#define POLL(id, state, percent, status)                                                                     \
    {                                                                                                        \
        {"transfer/Get<", "CIM_ConcreteJob", id}, OK, JOB_OF(id, state, percent, status)                     \
    }
#define POLL_RESULTS(id, names)                                                                              \
    {                                                                                                        \
        {"/GetUnlockedSystems<", id}, OK, RESULTS(names)                                                     \
    }
/* It has ended: seen, and read. */
#define ENDED(id, status, names)                                                                             \
    POLL(id, "7", "100", status), POLL_RESULTS(id, names), POLL(id, "7", "100", status),                     \
        POLL_RESULTS(id, names)
#define QUOTA(first, last) PART_REFUSED(first, last, "wsman:QuotaLimit", "too much at once")

/* In the order of the names, each once. */
static void test_a_list_is_split(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("3"),
        PART_STARTED("a", "c", FIRST),
        PART_STARTED("d", "f", SECOND),
        PART_STARTED("g", "h", THIRD),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a b c d e A b. f g h", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, FIRST "\n" SECOND "\n" THIRD "\n");
    assert_null(strstr(fixture->err, "job"));
}

/* One progress, one summary. */
static void test_parts_are_waited_for_together(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("2"),
        PART_STARTED("a", "b", FIRST),
        PART_STARTED("c", "c", SECOND),
        POLL(FIRST, "4", "50", "1 of 2 unlocked"),
        POLL_RESULTS(FIRST, U("b")),
        ENDED(SECOND, "1 of 1 unlocked", U("c")),
        POLL(FIRST, "7", "100", "1 of 2 unlocked, 1 failed"),
        POLL_RESULTS(FIRST, U("b") F("a")),
        {{"/GetErrors<", FIRST}, OK, ERRORS(ERROR("a", "unreachable", "no answer"))},
        POLL(FIRST, "7", "100", "1 of 2 unlocked, 1 failed"),
        POLL_RESULTS(FIRST, U("b") F("a")),
        {{"/GetErrors<", FIRST}, OK, ERRORS(ERROR("a", "unreachable", "no answer"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b c", steps), CONSOLE_FAILED);
    assert_string_equal(fixture->out, "unlocked  b\nunlocked  c\nfailed    a  unreachable: no answer\n"
                                      "2 of 3 unlocked, 1 failed: a unreachable\n");
    assert_non_null(strstr(fixture->err, "job " FIRST "\njob " SECOND "\n"));
}

static void test_parts_for_programs(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        PART_STARTED("b", "b", SECOND),
        POLL(FIRST, "2", "0", "0 of 1 unlocked"),
        POLL_RESULTS(FIRST, ""),
        POLL(SECOND, "7", "100", "1 of 1 unlocked"),
        POLL_RESULTS(SECOND, U("b")),
    };
    fixture_t *fixture = *state;
    json_t *object;

    assert_int_equal(RUN(fixture, "amtunlock unlock --json a b", steps), CONSOLE_DONE);
    object = json_loads(fixture->out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(object, "job")), FIRST);
    assert_string_equal(json_string_value(json_array_get(json_object_get(object, "jobs"), 1)), SECOND);
    assert_string_equal(json_string_value(json_object_get(object, "state")), "New");
    assert_int_equal(json_array_size(json_object_get(object, "unlocked")), 1);
    assert_null(json_object_get(object, "not_started"));
    json_decref(object);
    assert_non_null(strstr(fixture->err, "job " FIRST "\njob " SECOND "\n"));
}

/* The caller has too much at once: the next part follows as soon as earlier ones have gone on. */
static void test_a_quota_is_waited_for(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        QUOTA("b", "b"),
        POLL(FIRST, "2", "0", "0 of 1 unlocked"),
        POLL_RESULTS(FIRST, ""),
        QUOTA("b", "b"),
        ENDED(FIRST, "1 of 1 unlocked", U("a")),
        PART_STARTED("b", "b", SECOND),
        ENDED(SECOND, "1 of 1 unlocked", U("b")),
    };
    fixture_t *fixture = *state;
    const char *told;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, "unlocked  a\nunlocked  b\n2 of 2 unlocked\n");
    told = strstr(fixture->err,
                  "too much at once (QuotaLimit/x); 1 of 2 systems wait until earlier ones have gone on");
    assert_non_null(told);
    assert_null(strstr(told + 1, "too much at once"));
}

/* Without --wait until all are started, and no results are read. */
static void test_a_quota_is_waited_for_without_wait(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        QUOTA("b", "b"),
        POLL(FIRST, "7", "100", "1 of 1 unlocked"),
        PART_STARTED("b", "b", SECOND),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a b", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, FIRST "\n" SECOND "\n");
}

/* Jobs that have ended count, too: those that were read make room. */
static void test_jobs_that_were_read_make_room(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        QUOTA("b", "b"),
        ENDED(FIRST, "1 of 1 unlocked", U("a")),
        QUOTA("b", "b"),
        {{"transfer/Delete<", FIRST}, OK, ""},
        PART_STARTED("b", "b", SECOND),
        ENDED(SECOND, "1 of 1 unlocked", U("b")),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b", steps), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, "2 of 2 unlocked\n"));
    assert_non_null(strstr(fixture->err, FIRST " was read to its end: deleted to make room"));
}

/* Without --wait nobody has read them: they are kept. */
static void test_what_finds_no_room_is_not_started(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"), PART_STARTED("a", "a", FIRST),
        QUOTA("b", "b"),  POLL(FIRST, "7", "100", "1 of 1 unlocked"),
        QUOTA("b", "b"),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a b c", steps), CONSOLE_SERVICE);
    assert_string_equal(fixture->out, FIRST "\n");
    assert_non_null(
        strstr(fixture->err, "2 of 3 systems are not started, b to c: the service refused: too much"));
}

static void test_a_quota_before_anything_is_started(void **state)
{
    static const step_t steps[] = {GET_SERVICE("1"), QUOTA("a", "a")};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b", steps), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->err, "wait until your earlier jobs have ended"));
    assert_string_equal(fixture->out, "");
}

/* Be it the first, or another one. */
static void test_a_part_that_is_refused_is_not_the_others(void **state)
{
    static const step_t first[] = {
        GET_SERVICE("2"),
        PART_REFUSED("a", "b", "wsman:InvalidParameter", "name 2 is none"),
        GET_SERVICE("2"),
        PART_STARTED("c", "c", FIRST),
        ENDED(FIRST, "1 of 1 unlocked", U("c")),
    };
    static const step_t second[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        PART_REFUSED("b", "b", "wsman:InvalidParameter", "name 1 is none"),
        PART_STARTED("c", "c", SECOND),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b c", first), CONSOLE_SERVICE);
    assert_string_equal(fixture->out, "unlocked  c\n1 of 3 unlocked, 2 not started\n");
    assert_non_null(
        strstr(fixture->err, "2 of 3 systems are not started, a to b: the service refused: name 2"));
    reopen(fixture);
    assert_int_equal(RUN(fixture, "amtunlock unlock a b c", second), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->out, FIRST "\n" SECOND "\n"));
}

/* It was lowered since it was asked, or something before the service lets less pass. */
static void test_parts_get_smaller_where_they_must(void **state)
{
    static const step_t lowered[] = {
        GET_SERVICE("4"),
        PART_REFUSED("a", "d", "wsman:InvalidParameter", "MaxSystemsPerRequest is 3"),
        GET_SERVICE("3"),
        PART_STARTED("a", "c", FIRST),
        PART_STARTED("d", "d", SECOND),
    };
    static const step_t narrow[] = {
        GET_SERVICE("4"),
        {{LAST("d")}, 413, "text/html", "<html>"},
        PART_STARTED("a", "b", FIRST),
        {{LAST("d")}, 413, NULL, FAULT("Sender", "wsman:EncodingLimit", "x", "too large")},
        PART_STARTED("c", "c", SECOND),
        PART_STARTED("d", "d", THIRD),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a b c d", lowered), CONSOLE_DONE);
    reopen(fixture);
    assert_int_equal(RUN(fixture, "amtunlock unlock a b c d", narrow), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, FIRST "\n" SECOND "\n" FIRST "\n" SECOND "\n" THIRD "\n"));
}

/* Nobody knows of one part whether it was started; of the others it is known. */
static void test_a_part_that_is_not_known_of(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        {{LAST("b")}, 500, NULL, FAULT("Receiver", "wsman:InternalError", "x", "failed")},
        PART_STARTED("c", "c", SECOND),
        ENDED(FIRST, "1 of 1 unlocked", U("a")),
        ENDED(SECOND, "1 of 1 unlocked", U("c")),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b c", steps), CONSOLE_UNKNOWN);
    assert_non_null(strstr(fixture->out, "2 of 3 unlocked, 1 not known to be started\n"));
    assert_non_null(
        strstr(fixture->err, "1 of 3 systems may be started or not (see amtunlock jobs), b to b"));
}

/* A part's answer that was lost is asked for with the part's own message. */
static void test_each_part_is_sent_again_by_itself(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        {{LAST("b"), SAME}, NO_ANSWER},
        {{LAST("b"), SAME}, OK, STARTED_AS(SECOND)},
        PART_STARTED("c", "c", THIRD),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a b c", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, FIRST "\n" SECOND "\n" THIRD "\n");
}

/* What the caller may no longer do is not asked for again and again; what was started is followed. */
static void test_a_ticket_that_has_ended_between_the_parts(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),
        PART_STARTED("a", "a", FIRST),
        {{LAST("b")}, 401, "text/html", "<html>"},
        ENDED(FIRST, "1 of 1 unlocked", U("a")),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b c", steps), CONSOLE_DENIED);
    assert_non_null(strstr(fixture->out, "1 of 3 unlocked, 2 not started\n"));
    assert_non_null(strstr(fixture->err, "kinit"));
}

/* The service is away for a moment: the part is not lost. */
static void test_a_service_that_is_away_between_the_parts(void **state)
{
    static const step_t steps[] = {
        GET_SERVICE("1"),    PART_STARTED("a", "a", FIRST),
        {{LAST("b")}, AWAY}, POLL(FIRST, "7", "100", "1 of 1 unlocked"),
        {{LAST("b")}, AWAY}, PART_STARTED("b", "b", SECOND),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock a b", steps), CONSOLE_DONE);
    assert_string_equal(fixture->out, FIRST "\n" SECOND "\n");
}

static void test_interrupted_between_the_parts(void **state)
{
    static const step_t waiting[] = {GET_SERVICE("1"),
                                     PART_STARTED("a", "a", FIRST),
                                     QUOTA("b", "b"),
                                     {{"transfer/Get<"}, INTERRUPT, NULL, NULL}};
    static const step_t asking[] = {
        GET_SERVICE("1"), PART_STARTED("a", "a", FIRST), {{LAST("b")}, INTERRUPT, NULL, NULL}};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock unlock --wait a b c", waiting), CONSOLE_INTERRUPTED);
    assert_non_null(strstr(fixture->err, "2 of 3 systems were not asked for to the end, b to c"));
    assert_non_null(strstr(fixture->err, "interrupted; the job goes on without this command"));
    assert_non_null(strstr(fixture->err, "go on with: amtunlock status --wait " FIRST));
    reopen(fixture);
    console_interrupted = 0;
    assert_int_equal(RUN(fixture, "amtunlock unlock a b c", asking), CONSOLE_INTERRUPTED);
    assert_non_null(strstr(fixture->err, "see amtunlock jobs"));
}

/* Of one that is no more the others know nothing. */
static void test_several_jobs_are_waited_for(void **state)
{
    static const step_t steps[] = {
        POLL(FIRST, "4", "0", "0 of 1 unlocked"),
        POLL_RESULTS(FIRST, ""),
        {{"transfer/Get<", SECOND},
         400,
         NULL,
         FAULT("Sender", "wsa:DestinationUnreachable", "x", "no such job")},
        ENDED(FIRST, "1 of 1 unlocked", U("a")),
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock status --wait " FIRST " " SECOND " " FIRST, steps),
                     CONSOLE_SERVICE);
    assert_string_equal(fixture->out, "unlocked  a\n1 of 1 unlocked\n");
    assert_non_null(strstr(fixture->err, "amtunlock: " SECOND ": the service refused: no such job"));
}

static void test_several_jobs_are_looked_at(void **state)
{
    static const step_t status[] = {
        POLL(FIRST, "4", "50", "1 of 2 unlocked"),
        POLL_RESULTS(FIRST, U("a")),
        {{"transfer/Get<", SECOND},
         400,
         NULL,
         FAULT("Sender", "wsa:DestinationUnreachable", "x", "no such job")},
        POLL(THIRD, "7", "100", "1 of 1 unlocked"),
        POLL_RESULTS(THIRD, U("b")),
    };
    static const step_t errors[] = {POLL(FIRST, "7", "100", "1 of 1 unlocked"),
                                    POLL_RESULTS(FIRST, U("a")),
                                    POLL(THIRD, "7", "100", "0 of 1 unlocked, 1 failed"),
                                    POLL_RESULTS(THIRD, F("b")),
                                    {{"/GetErrors<", THIRD}, OK, ERRORS(ERROR("b", "timeout", "late"))}};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock status " FIRST " " SECOND " " THIRD, status), CONSOLE_SERVICE);
    assert_string_equal(fixture->out, FIRST "  Running  50%  1 of 2 unlocked\nunlocked  a\n" THIRD
                                            "  Completed  100%  1 of 1 unlocked\nunlocked  b\n");
    reopen(fixture);
    assert_int_equal(RUN(fixture, "amtunlock errors " FIRST " " THIRD, errors), CONSOLE_DONE);
    assert_non_null(strstr(fixture->out, "failed    b  timeout: late\n"));
    assert_null(strstr(fixture->out, "no system has failed"));
}

/* One that has ended already does not keep the others from being ended. */
static void test_several_jobs_are_cancelled(void **state)
{
    static const step_t steps[] = {
        {{"/RequestStateChange<", FIRST}, OK, STATE_CHANGE("4097")},
        {{"/RequestStateChange<", SECOND}, OK, STATE_CHANGE("0")},
        POLL(SECOND, "8", "100", "0 of 1 unlocked, 1 failed"),
        POLL_RESULTS(SECOND, F("a")),
        {{"/GetErrors<"}, OK, ERRORS(ERROR("a", "cancelled", "cancelled"))},
    };
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock cancel " FIRST " " SECOND, steps), CONSOLE_SERVICE);
    assert_non_null(strstr(fixture->out, "Terminated"));
    assert_non_null(strstr(fixture->err, FIRST ": the job has ended already"));
}

/* Where nothing answers, the others are not tried, and that is said. */
static void test_jobs_that_were_not_tried_are_named(void **state)
{
    static const step_t steps[] = {{{"/RequestStateChange<", FIRST}, 401, "text/html", "<html>"}};
    fixture_t *fixture = *state;

    assert_int_equal(RUN(fixture, "amtunlock cancel " FIRST " " SECOND, steps), CONSOLE_DENIED);
    assert_non_null(strstr(fixture->err, FIRST ": "));
    assert_non_null(strstr(fixture->err, "amtunlock: " SECOND ": not tried\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unlock_without_waiting),
        TEST(test_unlock_and_wait),
        TEST(test_wait_for_programs),
        TEST(test_a_remark_of_the_service_is_told),
        TEST(test_service_away_for_a_while),
        TEST(test_a_fault_ends_waiting),
        TEST(test_interrupted),
        TEST(test_status),
        TEST(test_status_of_a_failed_job),
        TEST(test_paging),
        TEST(test_paging_of_errors),
        TEST(test_errors_of_a_running_job),
        TEST(test_errors),
        TEST(test_cancel),
        TEST(test_cancel_of_an_ended_job),
        TEST(test_jobs),
        TEST(test_service_without_a_list),
        TEST(test_info),
        TEST(test_no_ticket),
        TEST(test_access_denied),
        TEST(test_forbidden_by_httpd),
        TEST(test_not_a_service),
        TEST(test_too_large_for_httpd),
        TEST(test_garbage),
        TEST(test_another_answer),
        TEST(test_quota),
        TEST(test_nobody_there),
        TEST(test_an_unlock_that_was_not_answered_is_sent_again),
        TEST(test_an_unlock_on_a_used_connection_that_ends_may_have_arrived),
        TEST(test_what_stays_unknown_has_a_status_of_its_own),
        TEST(test_an_unlock_is_not_sent_again_for_ever),
        TEST(test_answers_that_say_nothing_are_no_refusals),
        TEST(test_what_is_certain_is_not_sent_again),
        TEST(test_a_cancel_that_was_not_answered_is_sent_again),
        TEST(test_a_started_job_is_named_whatever_fails_then),
        TEST(test_name_that_xml_forbids),
        TEST(test_a_list_is_split),
        TEST(test_parts_are_waited_for_together),
        TEST(test_parts_for_programs),
        TEST(test_a_quota_is_waited_for),
        TEST(test_a_quota_is_waited_for_without_wait),
        TEST(test_jobs_that_were_read_make_room),
        TEST(test_what_finds_no_room_is_not_started),
        TEST(test_a_quota_before_anything_is_started),
        TEST(test_a_part_that_is_refused_is_not_the_others),
        TEST(test_parts_get_smaller_where_they_must),
        TEST(test_a_part_that_is_not_known_of),
        TEST(test_each_part_is_sent_again_by_itself),
        TEST(test_a_ticket_that_has_ended_between_the_parts),
        TEST(test_a_service_that_is_away_between_the_parts),
        TEST(test_interrupted_between_the_parts),
        TEST(test_several_jobs_are_waited_for),
        TEST(test_several_jobs_are_looked_at),
        TEST(test_several_jobs_are_cancelled),
        TEST(test_jobs_that_were_not_tried_are_named),
    };

    apr_initialize();
    wsman_library_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is read out of a device's list of users about the account that asks, and what is refused as no answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#include "amt_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(realm) ((apr_uint32_t)1 << (realm))

#define AUTHORIZATION(method, inside)                                                                        \
    ANSWER(AMT "AMT_AuthorizationService", "<g:" method "_OUTPUT>" inside "</g:" method "_OUTPUT>")
#define ADMIN(name)                                                                                          \
    AUTHORIZATION("GetAdminAclEntry", "<g:Username>" name "</g:Username><g:ReturnValue>0</g:ReturnValue>")
#define HANDLE(number) "<g:Handles>" number "</g:Handles>"
#define USERS(handles)                                                                                       \
    AUTHORIZATION("EnumerateUserAclEntries", "<g:TotalCount>2</g:TotalCount><g:HandlesCount>2</"             \
                                             "g:HandlesCount>" handles "<g:ReturnValue>0</g:ReturnValue>")
#define REALM(number) "<g:Realms>" number "</g:Realms>"
#define ENTRY(user, realms)                                                                                  \
    AUTHORIZATION("GetUserAclEntryEx", user "<g:AccessPermission>2</g:AccessPermission>" realms              \
                                            "<g:ReturnValue>0</g:ReturnValue>")
#define NAMED(name) "<g:DigestUsername>" name "</g:DigestUsername>"
#define OF_DOMAIN "<g:KerberosUserSid>AQUAAAAAAAUVAAAA8Wxr8CKAdHYAEF4y9QMAAA==</g:KerberosUserSid>"
#define NO_HANDLE AUTHORIZATION("GetUserAclEntryEx", "<g:ReturnValue>2053</g:ReturnValue>")
#define ACCESS_DENIED FAULT("Sender", "c:AccessDenied", "The sender was not authorized.")
#define TWO_USERS USERS(HANDLE("1") HANDLE("2"))
#define SERVICE_OF_INTEL ENTRY(NAMED("$$uns"), REALM("16"))

enum { ANSWERS = 4 };

/* Answers in the order of what is asked; the account is RIG_USER. Returns how many requests there were. */
static size_t read_account(rig_t *rig, const char *const answers[ANSWERS], amt_account_t *account)
{
    peer_row_t rows[ANSWERS + 1] = {{.act = PEER_CHALLENGE}};
    const peer_request_t *requests;
    size_t count = 1;

    for (; count <= ANSWERS && answers[count - 1]; count++) {
        rows[count] = (peer_row_t){.act = PEER_ANSWER, .body = answers[count - 1]};
    }
    rig_up(rig, rows, count);
    memset(account, 0x55, sizeof(*account));
    amt_read_account(rig->device, account, rig_done, rig);
    rig_wait(rig);
    count = peer_requests(rig->peer, &requests);
    rig_down(rig);
    return count;
}

static void test_accounts(void **state)
{
    static const struct {
        const char *answers[ANSWERS];
        size_t requests; /* the challenge's among them */
        amt_account_t account;
    } cases[] = {
        /* no administrator: nothing is listed */
        {{ACCESS_DENIED, ACCESS_DENIED}, 3, {0}},
        {{ADMIN(RIG_USER)}, 2, {.lists = 1, .administrator = 1}},
        {{ADMIN("admin"), TWO_USERS, SERVICE_OF_INTEL,
          ENTRY(NAMED(RIG_USER), REALM("2") REALM("5") REALM("13"))},
         5,
         {.lists = 1, .found = 1, .realms = BIT(2) | BIT(5) | BIT(13)}},
        /* the first that is ours is the last that is asked for */
        {{ADMIN("admin"), TWO_USERS, ENTRY(NAMED(RIG_USER), REALM("3"))},
         4,
         {.lists = 1, .found = 1, .realms = BIT(3)}},
        /* the realm ACL only: the administrator's name is not given */
        {{ACCESS_DENIED, USERS(HANDLE("7")), ENTRY(NAMED(RIG_USER), REALM("21") REALM("31") REALM("0"))},
         4,
         {.lists = 1, .found = 1, .realms = BIT(21) | BIT(31) | BIT(0)}},
        /* a user was deleted meanwhile; one is of a domain */
        {{ADMIN("admin"), TWO_USERS, NO_HANDLE, ENTRY(NAMED(RIG_USER), REALM("5"))},
         5,
         {.lists = 1, .found = 1, .realms = BIT(5)}},
        {{ADMIN("admin"), USERS(HANDLE("1")), ENTRY(OF_DOMAIN, REALM("3"))}, 4, {.lists = 1}},
        {{ADMIN("admin"), USERS("")}, 3, {.lists = 1}},
        {{ADMIN("admin"), USERS(HANDLE("1")), ENTRY(NAMED(RIG_USER), "")}, 4, {.lists = 1, .found = 1}},
        /* a name that only begins like ours */
        {{ADMIN(RIG_USER "2"), USERS(HANDLE("1")), ENTRY(NAMED("unlock"), REALM("3"))}, 4, {.lists = 1}},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const amt_account_t *expected = &cases[i].account;
        amt_account_t account;
        rig_t rig;
        size_t requests = read_account(&rig, cases[i].answers, &account);

        if (rig.status != AMT_OK || rig.acted || requests != cases[i].requests) {
            fail_msg("case %d: status %d after %d requests: %s", (int)i, rig.status, (int)requests, rig.text);
        }
        if (account.lists != expected->lists || account.administrator != expected->administrator ||
            account.found != expected->found || account.realms != expected->realms) {
            fail_msg("case %d: lists %d, administrator %d, found %d, realms %x", (int)i, account.lists,
                     account.administrator, account.found, account.realms);
        }
    }
}

static void test_it_asks_for_the_right_things(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = ADMIN("admin")},
                                      {.act = PEER_ANSWER, .body = USERS(HANDLE("5") HANDLE("900"))},
                                      {.act = PEER_ANSWER, .body = SERVICE_OF_INTEL},
                                      {.act = PEER_ANSWER, .body = SERVICE_OF_INTEL}};
    const peer_request_t *requests;
    amt_account_t account;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    amt_read_account(rig.device, &account, rig_done, &rig);
    rig_wait(&rig);
    assert_int_equal(peer_requests(rig.peer, &requests), COUNT(rows));
    assert_non_null(strstr(requests[1].body, AMT "AMT_AuthorizationService/GetAdminAclEntry<"));
    assert_non_null(strstr(requests[2].body, "EnumerateUserAclEntries_INPUT"));
    assert_non_null(strstr(requests[2].body, "StartIndex>1<"));
    assert_non_null(strstr(requests[3].body, "Handle>5<"));
    assert_non_null(strstr(requests[4].body, "GetUserAclEntryEx_INPUT"));
    assert_non_null(strstr(requests[4].body, "Handle>900<"));
    rig_down(&rig);
}

#define TEN_HANDLES                                                                                          \
    HANDLE("1")                                                                                              \
    HANDLE("2")                                                                                              \
    HANDLE("3")                                                                                              \
    HANDLE("4") HANDLE("5") HANDLE("6") HANDLE("7") HANDLE("8") HANDLE("9") HANDLE("10")
#define TOO_MANY TEN_HANDLES TEN_HANDLES TEN_HANDLES TEN_HANDLES TEN_HANDLES TEN_HANDLES TEN_HANDLES

static void test_garbage(void **state)
{
    static const char *const cases[][ANSWERS] = {
        {AUTHORIZATION("GetAdminAclEntry", "<g:ReturnValue>0</g:ReturnValue>")},
        {AUTHORIZATION("GetAdminAclEntry", "<g:Username>a</g:Username><g:ReturnValue>-</g:ReturnValue>")},
        {POWER_OFF_ANSWER},
        {"<html/>"},
        {ADMIN("admin"), USERS(HANDLE("first"))},
        {ADMIN("admin"), USERS(HANDLE("-1"))},
        {ADMIN("admin"), USERS(HANDLE("99999999999"))},
        {ADMIN("admin"), USERS(TOO_MANY)},
        {ADMIN("admin"), USERS(HANDLE("1")), ENTRY(NAMED(RIG_USER), REALM("32"))},
        {ADMIN("admin"), USERS(HANDLE("1")), ENTRY(NAMED(RIG_USER), REALM("five"))},
        {ADMIN("admin"), USERS(HANDLE("1")), ADMIN("admin")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_account_t account;
        rig_t rig;

        read_account(&rig, cases[i], &account);
        if (rig.status != AMT_GARBAGE) {
            fail_msg("case %d: status %d: %s", (int)i, rig.status, rig.text);
        }
    }
}

static void test_names_of_realms(void **state)
{
    (void)state;
    assert_string_equal(amt_realm_name(AMT_REALM_REMOTE_CONTROL), "Remote Control");
    assert_string_equal(amt_realm_name(AMT_REALM_ADMINISTRATION), "PT Administration");
    assert_null(amt_realm_name(0));
    assert_null(amt_realm_name(-1));
    assert_null(amt_realm_name(AMT_REALMS));
    assert_null(amt_realm_name(AMT_REALMS - 1));
}

/* ---- whether a refusal was for want of a realm --------------------------------------------------------- */

static int denied;

static void note_denied(void *rig, const amt_result_t *result)
{
    denied = result->denied;
    rig_done(rig, result);
}

static void test_denied_or_refused(void **state)
{
    static const struct {
        peer_row_t row;
        int denied;
    } cases[] = {
        {{.act = PEER_ANSWER, .body = ACCESS_DENIED, .status = 400}, 1},
        {{.act = PEER_ANSWER, .body = "", .status = 403}, 1},
        {{.act = PEER_ANSWER, .body = FAULT("Receiver", "c:InternalError", "worn"), .status = 500}, 0},
        {{.act = PEER_ANSWER, .body = POWER_OFF_ANSWER}, 0},
        {{.act = PEER_ANSWER, .body = "<html/>"}, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        peer_row_t rows[] = {{.act = PEER_CHALLENGE}, cases[i].row};
        amt_facts_t facts;
        rig_t rig;

        rig_up(&rig, rows, COUNT(rows));
        denied = -1;
        amt_read(rig.device, AMT_READ_POWER, &facts, note_denied, &rig);
        rig_wait(&rig);
        if (denied != cases[i].denied) {
            fail_msg("case %d: denied %d: %s", (int)i, denied, rig.text);
        }
        rig_down(&rig);
    }
}

/* A realm that one step lacked is no word about the next. */
static void test_denied_is_of_the_last_step(void **state)
{
    static const peer_row_t rows[] = {
        {.act = PEER_CHALLENGE},
        {.act = PEER_ANSWER, .body = ACCESS_DENIED, .status = 400},
        {.act = PEER_ANSWER, .body = FAULT("Receiver", "c:InternalError", "worn"), .status = 500}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    amt_read(rig.device, AMT_READ_POWER, &facts, note_denied, &rig);
    rig_wait(&rig);
    assert_int_equal(denied, 1);
    amt_read(rig.device, AMT_READ_POWER, &facts, note_denied, &rig);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_REFUSED);
    assert_int_equal(denied, 0);
    assert_int_equal(amt_device_tls_minor(rig.device), -1);
    rig_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accounts),          cmocka_unit_test(test_it_asks_for_the_right_things),
        cmocka_unit_test(test_garbage),           cmocka_unit_test(test_names_of_realms),
        cmocka_unit_test(test_denied_or_refused), cmocka_unit_test(test_denied_is_of_the_last_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

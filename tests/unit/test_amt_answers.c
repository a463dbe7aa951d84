/* SPDX-License-Identifier: Apache-2.0 */
/* What is read out of a device's answers to identity and power, and what is refused as no answer at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_strings.h>
#include <cmocka.h>

#include "amt_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define UUID_ANSWER(inside)                                                                                  \
    ANSWER(AMT "AMT_SetupAndConfigurationService", "<g:GetUuid_OUTPUT>" inside "</g:GetUuid_OUTPUT>")
#define UUID(text) UUID_ANSWER("<g:UUID>" text "</g:UUID><g:ReturnValue>0</g:ReturnValue>")
#define VERSION(instance, version)                                                                           \
    ANSWER(CIM "CIM_SoftwareIdentity",                                                                       \
           "<g:CIM_SoftwareIdentity><g:InstanceID>" instance                                                 \
           "</g:InstanceID><g:IsEntity>true</g:IsEntity><g:VersionString>" version                           \
           "</g:VersionString></g:CIM_SoftwareIdentity>")
#define ACCESS_DENIED FAULT("Sender", "c:AccessDenied", "The sender was not authorized.")
/* The bytes 0 to 15, in SMBIOS order: 03020100-0504-0706-0809-0a0b0c0d0e0f */
#define COUNTING_UUID UUID("AAECAwQFBgcICQoLDA0ODw==")

/* ---- identity
 * ---------------------------------------------------------------------------------------------- */

static void read_identity(rig_t *rig, const char *uuid_answer, const char *version_answer, int status,
                          amt_facts_t *facts)
{
    peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                         {.act = PEER_ANSWER, .body = uuid_answer, .status = status},
                         {.act = PEER_ANSWER, .body = version_answer, .status = status}};

    rig_up(rig, rows, COUNT(rows));
    memset(facts, 0x55, sizeof(*facts));
    amt_read(rig->device, AMT_READ_IDENTITY, facts, rig_done, rig);
    rig_wait(rig);
    rig_down(rig);
}

static void test_identity(void **state)
{
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    read_identity(&rig, COUNTING_UUID, VERSION("AMT", "16.1.25"), 200, &facts);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 0);
    assert_string_equal(facts.identity.uuid, "03020100-0504-0706-0809-0a0b0c0d0e0f");
    assert_string_equal(facts.identity.version, "16.1.25");
    assert_int_equal(facts.identity.major, 16);
    read_identity(&rig, UUID("E67jVdK/u2EXoIiu3XA36g=="), VERSION("AMT", "9.5.61"), 200, &facts);
    assert_string_equal(facts.identity.uuid, "55e3ae13-bfd2-61bb-17a0-88aedd7037ea");
    assert_int_equal(facts.identity.major, 9);
}

static void test_identity_asks_for_the_right_things(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = COUNTING_UUID},
                                      {.act = PEER_ANSWER, .body = VERSION("AMT", "11.8.50")}};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    amt_read(rig.device, AMT_READ_IDENTITY, &facts, rig_done, &rig);
    rig_wait(&rig);
    assert_int_equal(peer_requests(rig.peer, &requests), 3);
    assert_non_null(strstr(requests[1].body, AMT "AMT_SetupAndConfigurationService/GetUuid<"));
    assert_non_null(strstr(requests[1].body, "GetUuid_INPUT"));
    assert_non_null(strstr(requests[2].body, ">http://schemas.xmlsoap.org/ws/2004/09/transfer/Get<"));
    assert_non_null(strstr(requests[2].body, CIM "CIM_SoftwareIdentity<"));
    assert_non_null(strstr(requests[2].body, "Name=\"InstanceID\">AMT<"));
    assert_null(strstr(requests[2].body, "INPUT"));
    assert_non_null(strstr(requests[1].head, "Content-Type: application/soap+xml;charset=UTF-8"));
    rig_down(&rig);
}

/* An account without the realm: the UUID is what identifies, the version is nice to have. */
static void test_version_may_be_refused(void **state)
{
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    read_identity(&rig, COUNTING_UUID, ACCESS_DENIED, 200, &facts);
    assert_int_equal(rig.status, AMT_OK);
    assert_string_equal(rig.text, "");
    assert_string_equal(facts.identity.uuid, "03020100-0504-0706-0809-0a0b0c0d0e0f");
    assert_string_equal(facts.identity.version, "");
    assert_int_equal(facts.identity.major, 0);
}

static void test_uuid_may_not_be_refused(void **state)
{
    static const struct {
        const char *answer, *said;
        int http_status;
        amt_status_e status;
    } cases[] = {
        {ACCESS_DENIED, "realm", 400, AMT_REFUSED},
        {FAULT("Receiver", "c:InternalError", "Flash is\tworn\xe2\x82\xac."), "Flash is worn???.", 500,
         AMT_REFUSED},
        {UUID_ANSWER("<g:ReturnValue>16</g:ReturnValue>"), "16 (not permitted)", 200, AMT_REFUSED},
        {UUID_ANSWER("<g:ReturnValue>99</g:ReturnValue>"), "99 (no documented meaning)", 200, AMT_REFUSED},
        {"", "403", 403, AMT_REFUSED},
        {"", "busy", 503, AMT_NOT_NOW},
        {"", "400 without a word", 400, AMT_NOT_NOW},
        {UUID_ANSWER("<g:ReturnValue>2</g:ReturnValue>"), "ReturnValue 2", 200, AMT_NOT_NOW},
        {FAULT("Sender", "c:Concurrency", "Busy."), "Busy.", 400, AMT_NOT_NOW},
        {FAULT("Sender", "c:QuotaLimit", "Full."), "Full.", 400, AMT_NOT_NOW},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        read_identity(&rig, cases[i].answer, VERSION("AMT", "16.1.25"), cases[i].http_status, &facts);
        if (rig.status != cases[i].status || !strstr(rig.text, cases[i].said)) {
            fail_msg("\"%s\" (%d) does not say \"%s\"", rig.text, (int)rig.status, cases[i].said);
        }
        assert_string_equal(facts.identity.uuid, "");
    }
}

static void test_identity_garbage(void **state)
{
    static const struct {
        const char *uuid;
        const char *version;
        int http_status;
    } cases[] = {
        {UUID("baduuid"), "", 200},
        {UUID(""), "", 200},
        {UUID("AAECAwQFBgcICQoLDA0ODxA="), "", 200}, /* 17 bytes */
        {UUID("AAECAwQFBgcICQoLDA0O"), "", 200},     /* 15 */
        {UUID("AAECAwQFBgcICQoLDA0O!w=="), "", 200},
        {UUID("AAECAwQFBgcICQoLDA0ODw==") "<trailing/>", "", 200},
        {UUID_ANSWER(""), "", 200},
        {UUID_ANSWER("<g:UUID>AAECAwQFBgcICQoLDA0ODw==</g:UUID><g:ReturnValue>zero</g:ReturnValue>"), "",
         200},
        {POWER_OFF_ANSWER, "", 200}, /* an answer to something else */
        {"", "", 200},
        {"<html><body>Login</body></html>", "", 200},
        {"<a:Envelope", "", 200},
        {"<!DOCTYPE x [<!ENTITY e \"e\">]><x>&e;</x>", "", 200},
        {COUNTING_UUID, "", 404},
        {"", "", 500},
        {COUNTING_UUID, VERSION("AMT", ""), 200},
        {COUNTING_UUID, VERSION("AMT", "twelve"), 200},
        {COUNTING_UUID, VERSION("AMT", "1234567890.1234567890.1234567890"), 200},
        {COUNTING_UUID, VERSION("AMTApps", "12.0.67"), 200},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        read_identity(&rig, cases[i].uuid, cases[i].version, cases[i].http_status, &facts);
        if (rig.status != AMT_GARBAGE) {
            fail_msg("case %d: status %d: %s", (int)i, rig.status, rig.text);
        }
        assert_non_null(strstr(rig.text, RIG_FQDN));
        assert_true(memchr(facts.identity.version, '\0', sizeof(facts.identity.version)) != NULL);
    }
}

/* What vendors write behind the version, or before it, is left out. */
static void test_version_with_text(void **state)
{
    static const struct {
        const char *answer, *version;
        int major;
    } cases[] = {
        {VERSION("AMT", "12.0.67.1579 (beta)"), "12.0.67.1579", 12},
        {VERSION("AMT", "16.1.25-hotfix"), "16.1.25", 16},
        {VERSION("AMT", "v15.0.45.2411"), "15.0.45.2411", 15},
        {VERSION("AMT", "11.8.50."), "11.8.50", 11},
        {VERSION("AMT", "12.0.67; DROP"), "12.0.67", 12},
        {VERSION("AMT", " 19.0.5 "), "19.0.5", 19},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        read_identity(&rig, COUNTING_UUID, cases[i].answer, 200, &facts);
        assert_int_equal(rig.status, AMT_OK);
        assert_string_equal(facts.identity.version, cases[i].version);
        assert_int_equal(facts.identity.major, cases[i].major);
    }
}

/* An answer to another message is not taken for this one's. */
static void test_answer_to_another_message(void **state)
{
    char other[4096];
    amt_facts_t facts;
    char *mark;
    rig_t rig;

    (void)state;
    apr_cpystrn(other, COUNTING_UUID, sizeof(other));
    mark = strstr(other, "@ID@");
    memcpy(mark, "9999", 4);
    read_identity(&rig, other, "", 200, &facts);
    assert_int_equal(rig.status, AMT_GARBAGE);
    assert_non_null(strstr(rig.text, "another message"));
}

/* ---- power
 * ------------------------------------------------------------------------------------------------- */

static void test_power_states(void **state)
{
    static const struct {
        const char *answer;
        amt_status_e status;
        int state;
        int on_available, reset_available;
    } cases[] = {
        {POWER_OFF_ANSWER, AMT_OK, 8, 1, 0},
        {POWER_ANSWER("<g:PowerState> 4 </g:PowerState>"), AMT_OK, 4, -1, -1},
        {POWER_ANSWER("<g:AvailableRequestedPowerStates>10</g:AvailableRequestedPowerStates>"
                      "<g:AvailableRequestedPowerStates>8</g:AvailableRequestedPowerStates>"
                      "<g:PowerState>2</g:PowerState>"),
         AMT_OK, 2, 0, 1},
        {POWER_ANSWER("<g:AvailableRequestedPowerStates>8</g:AvailableRequestedPowerStates>"
                      "<g:AvailableRequestedPowerStates>2</g:AvailableRequestedPowerStates>"
                      "<g:PowerState>7</g:PowerState>"),
         AMT_OK, 7, 1, 0},
        {POWER_ANSWER(""), AMT_GARBAGE, 0, -1, -1},
        {POWER_ANSWER("<g:PowerState>on</g:PowerState>"), AMT_GARBAGE, 0, -1, -1},
        {POWER_ANSWER("<g:PowerState>-2</g:PowerState>"), AMT_GARBAGE, 0, -1, -1},
        {POWER_ANSWER("<g:PowerState>65536</g:PowerState>"), AMT_GARBAGE, 0, -1, -1},
        {ACCESS_DENIED, AMT_REFUSED, 0, -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = cases[i].answer}};
        amt_facts_t facts = {.power = {99, 99, 99}};
        rig_t rig;

        rig_up(&rig, rows, COUNT(rows));
        rig_read_power(&rig, &facts);
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(facts.power.state, cases[i].state);
        assert_int_equal(facts.power.on_available, cases[i].on_available);
        assert_int_equal(facts.power.reset_available, cases[i].reset_available);
        rig_down(&rig);
    }
}

#define SAVING_ANSWER(properties)                                                                            \
    ANSWER("http://intel.com/wbem/wscim/1/ips-schema/1/IPS_PowerManagementService",                          \
           "<g:IPS_PowerManagementService>" properties "</g:IPS_PowerManagementService>")

/* Where the device does not tell, or does not know the class, that is no failure. */
static void test_saving_states(void **state)
{
    static const struct {
        const char *answer;
        amt_status_e status;
        int saving;
    } cases[] = {
        {SAVING_ANSWER("<g:OSPowerSavingState>3</g:OSPowerSavingState>"), AMT_OK, AMT_SAVING_STANDBY},
        {SAVING_ANSWER("<g:OSPowerSavingState>2</g:OSPowerSavingState>"), AMT_OK, AMT_SAVING_FULL_POWER},
        {SAVING_ANSWER("<g:OSPowerSavingState>deep</g:OSPowerSavingState>"), AMT_OK, -1},
        {SAVING_ANSWER(""), AMT_OK, -1},
        {ACCESS_DENIED, AMT_OK, -1},
        {POWER_OFF_ANSWER, AMT_GARBAGE, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = cases[i].answer}};
        amt_facts_t facts = {.saving = 99};
        rig_t rig;

        rig_up(&rig, rows, COUNT(rows));
        amt_read(rig.device, AMT_READ_SAVING, &facts, rig_done, &rig);
        rig_wait(&rig);
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(facts.saving, cases[i].saving);
        rig_down(&rig);
    }
}

static void test_power_request_answers(void **state)
{
    static const struct {
        const char *answer;
        int http_status;
        amt_status_e status;
        int return_value;
        const char *said;
    } cases[] = {
        {POWER_REQUESTED("0"), 200, AMT_OK, 0, ""},
        {POWER_REQUESTED("4096"), 200, AMT_OK, 4096, ""},
        {POWER_REQUESTED("1"), 200, AMT_REFUSED, 1, "1 (not supported)"},
        {POWER_REQUESTED("5"), 200, AMT_REFUSED, 5, "invalid parameter"},
        {POWER_REQUESTED("2068"), 200, AMT_REFUSED, 2068, "2068"},
        {POWER_REQUESTED(""), 200, AMT_GARBAGE, -1, "ReturnValue"},
        {POWER_REQUESTED("99999999999"), 200, AMT_GARBAGE, -1, "ReturnValue"},
        {ANSWER(CIM "CIM_PowerManagementService", "<g:RequestPowerStateChange_OUTPUT/>"), 200, AMT_GARBAGE,
         -1, "no ReturnValue"},
        {ANSWER("urn:other", "<g:RequestPowerStateChange_OUTPUT/>"), 200, AMT_GARBAGE, -1, "something else"},
        {ACCESS_DENIED, 400, AMT_REFUSED, -1, "Remote Control"},
        {"<<<", 200, AMT_GARBAGE, -1, "not understood"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                             {.act = PEER_ANSWER, .body = cases[i].answer, .status = cases[i].http_status}};
        rig_t rig;

        rig_up(&rig, rows, COUNT(rows));
        rig_request_power(&rig, 2);
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(rig.return_value, cases[i].return_value);
        assert_int_equal(rig.acted, 1); /* whatever it said, it had the body */
        assert_non_null(strstr(rig.text, cases[i].said));
        rig_down(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_identity_asks_for_the_right_things),
        cmocka_unit_test(test_version_may_be_refused),
        cmocka_unit_test(test_uuid_may_not_be_refused),
        cmocka_unit_test(test_identity_garbage),
        cmocka_unit_test(test_version_with_text),
        cmocka_unit_test(test_answer_to_another_message),
        cmocka_unit_test(test_power_states),
        cmocka_unit_test(test_saving_states),
        cmocka_unit_test(test_power_request_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

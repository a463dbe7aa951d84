/* SPDX-License-Identifier: Apache-2.0 */
/* Boot settings: what counts as an override, and that what is put back is what was read, minus what firmware
 * refuses, with everything off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_strings.h>
#include <cmocka.h>

#include "amt_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BOOT AMT "AMT_BootSettingData"
#define SETTINGS(inside) ANSWER(BOOT, "<g:AMT_BootSettingData>" inside "</g:AMT_BootSettingData>")
#define ORDER(value)                                                                                         \
    ANSWER(CIM "CIM_BootConfigSetting",                                                                      \
           "<g:ChangeBootOrder_OUTPUT><g:ReturnValue>" value "</g:ReturnValue></g:ChangeBootOrder_OUTPUT>")
#define ROLE(value)                                                                                          \
    ANSWER(CIM "CIM_BootService", "<g:SetBootConfigRole_OUTPUT><g:ReturnValue>" value                        \
                                  "</g:ReturnValue></g:SetBootConfigRole_OUTPUT>")
#define INSTANCE "<g:InstanceID>Intel(r) AMT:BootSettingData 0</g:InstanceID>"

/* Recent firmware, with another console's storage redirection set for the next start, and an erase that
 * must never be sent on. */
static const char recent[] = SETTINGS(
    "<g:BIOSLastStatus>2</g:BIOSLastStatus><g:BIOSLastStatus>0</g:BIOSLastStatus><g:BIOSPause>false</"
    "g:BIOSPause>"
    "<g:BIOSSetup>true</g:BIOSSetup><g:BootMediaIndex>3</g:BootMediaIndex><g:BootguardStatus>127</"
    "g:BootguardStatus>"
    "<g:ConfigurationDataReset>true</g:ConfigurationDataReset><g:ElementName>Settings &amp; "
    "more</g:ElementName>"
    "<g:EnforceSecureBoot>true</g:EnforceSecureBoot><g:FirmwareVerbosity>0</g:FirmwareVerbosity>"
    "<g:ForcedProgressEvents>false</g:ForcedProgressEvents><g:IDERBootDevice>1</g:IDERBootDevice>" INSTANCE
    "<g:LockKeyboard>false</g:LockKeyboard><g:OptionsCleared>true</g:OptionsCleared>"
    "<g:OwningEntity>Intel(r) AMT</g:OwningEntity><g:PlatformErase>true</g:PlatformErase>"
    "<g:RPEEnabled>true</g:RPEEnabled><g:RSEPassword></g:RSEPassword><g:ReflashBIOS>true</g:ReflashBIOS>"
    "<g:SecureBootControlEnabled>true</g:SecureBootControlEnabled><g:SecureErase>true</g:SecureErase>"
    "<g:UEFIHTTPSBootEnabled>true</g:UEFIHTTPSBootEnabled><g:UEFILocalPBABootEnabled>true</"
    "g:UEFILocalPBABootEnabled>"
    "<g:UefiBootNumberOfParams>2</g:UefiBootNumberOfParams><g:UefiBootParametersArray>AAAA</"
    "g:UefiBootParametersArray>"
    "<g:UseIDER>true</g:UseIDER><g:UseSOL>false</g:UseSOL><g:UserPasswordBypass>false</g:UserPasswordBypass>"
    "<g:WinREBootEnabled>true</g:WinREBootEnabled>");

/* Old firmware knows fewer members. */
static const char old[] =
    SETTINGS("<g:BIOSPause>false</g:BIOSPause>" INSTANCE "<g:IDERBootDevice>1</g:IDERBootDevice>"
             "<g:UseIDER>false</g:UseIDER><g:UseSOL>false</g:UseSOL>");

static void read_boot(rig_t *rig, amt_facts_t *facts)
{
    memset(facts, 0x55, sizeof(*facts));
    amt_read(rig->device, AMT_READ_BOOT, facts, rig_done, rig);
    rig_wait(rig);
}

static void set_boot(rig_t *rig, int start)
{
    amt_set_boot(rig->device, start, rig_gate, rig, rig_done, rig);
    rig_wait(rig);
}

static void clear_boot(rig_t *rig)
{
    amt_clear_boot(rig->device, rig_gate, rig, rig_done, rig);
    rig_wait(rig);
}

static void test_overrides_are_named(void **state)
{
    static const struct {
        const char *answer;
        int overridden;
        const char *summary;
    } cases[] = {
        {recent, 1,
         "BIOSSetup,ConfigurationDataReset,PlatformErase,ReflashBIOS,SecureErase,UefiBootNumberOfParams,"
         "UseIDER"},
        {old, 0, ""},
        {SETTINGS(INSTANCE "<g:FirmwareVerbosity>2</g:FirmwareVerbosity><g:Unheard>true</g:Unheard>"), 1,
         "FirmwareVerbosity"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = cases[i].answer}};
        amt_facts_t facts;
        rig_t rig;

        rig_up(&rig, rows, COUNT(rows));
        read_boot(&rig, &facts);
        assert_string_equal(rig.text, "");
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(facts.boot.overridden, cases[i].overridden);
        assert_string_equal(facts.boot.summary, cases[i].summary);
        rig_down(&rig);
    }
}

/* More names than the summary holds: cut between names. */
static void test_summary_that_is_too_long(void **state)
{
    static const char all[] = SETTINGS(
        INSTANCE
        "<g:BIOSPause>true</g:BIOSPause><g:BIOSSetup>true</g:BIOSSetup><g:ConfigurationDataReset>true"
        "</g:ConfigurationDataReset><g:ForcedProgressEvents>true</g:ForcedProgressEvents><g:LockKeyboard>true"
        "</g:LockKeyboard><g:LockPowerButton>true</g:LockPowerButton><g:LockResetButton>true</"
        "g:LockResetButton>"
        "<g:LockSleepButton>true</g:LockSleepButton><g:PlatformErase>true</g:PlatformErase>"
        "<g:UefiBootNumberOfParams>1</g:UefiBootNumberOfParams><g:UseSOL>true</g:UseSOL>");
    peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = all}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    assert_int_equal(facts.boot.overridden, 1);
    assert_true(strlen(facts.boot.summary) < sizeof(facts.boot.summary));
    assert_memory_equal(facts.boot.summary, "BIOSPause,BIOSSetup,", 20);
    assert_int_not_equal(facts.boot.summary[strlen(facts.boot.summary) - 1], ',');
    rig_down(&rig);
}

/* True if `place`, the element's name in a body, is followed by this text. */
static int holds(const char *place, const char *name, const char *value)
{
    const char *text = place + strlen(name);

    return *text == '>' && strncmp(text + 1, value, strlen(value)) == 0 && text[1 + strlen(value)] == '<';
}

static void test_plain_boot_is_put_back(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = recent},
                                      {.act = PEER_ANSWER, .body = ORDER("0")},
                                      {.act = PEER_ANSWER, .body = SETTINGS(INSTANCE)},
                                      {.act = PEER_ANSWER, .body = ROLE("0")}};
    static const struct {
        const char *name;
        const char *value; /* NULL: must not be there */
    } wanted[] = {
        {":BIOSLastStatus", NULL},
        {":BIOSPause", "false"},
        {":BIOSSetup", "false"},
        {":BootMediaIndex", "0"},
        {":BootguardStatus", NULL},
        {":ConfigurationDataReset", "false"},
        {":ElementName", "Settings &amp; more"},
        {":EnforceSecureBoot", "true"},
        {":FirmwareVerbosity", "0"},
        {":ForcedProgressEvents", "false"},
        {":IDERBootDevice", "0"},
        {":InstanceID", "Intel(r) AMT:BootSettingData 0"},
        {":LockKeyboard", "false"},
        {":LockPowerButton", NULL}, /* the device did not have it */
        {":OptionsCleared", NULL},
        {":OwningEntity", "Intel(r) AMT"},
        {":PlatformErase", "false"},
        {":RPEEnabled", NULL},
        {":RSEPassword", NULL},
        {":ReflashBIOS", "false"},
        {":SecureBootControlEnabled", NULL},
        {":SecureErase", "false"},
        {":UEFIHTTPSBootEnabled", NULL},
        {":UEFILocalPBABootEnabled", NULL},
        {":UefiBootNumberOfParams", "0"},
        {":UefiBootParametersArray", NULL},
        {":UseIDER", "false"},
        {":UseSOL", "false"},
        {":UseSafeMode", NULL},
        {":UserPasswordBypass", "false"},
        {":WinREBootEnabled", NULL},
    };
    const peer_request_t *requests;
    const char *last = "";
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    clear_boot(&rig);
    assert_string_equal(rig.text, "");
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 3);
    assert_int_equal(peer_requests(rig.peer, &requests), 5);
    assert_non_null(strstr(requests[2].body, "ChangeBootOrder_INPUT"));
    assert_null(strstr(requests[2].body, "Source"));
    assert_non_null(strstr(requests[3].body, ">http://schemas.xmlsoap.org/ws/2004/09/transfer/Put<"));
    assert_non_null(strstr(requests[4].body, "SetBootConfigRole_INPUT"));
    assert_non_null(strstr(requests[4].body, "Role>32768<"));
    for (size_t i = 0; i < COUNT(wanted); i++) {
        const char *place = strstr(requests[3].body, wanted[i].name);

        if (!wanted[i].value) {
            assert_null(place);
            continue;
        }
        assert_non_null(place);
        assert_true(place > last); /* in the order in which they came */
        last = place;
        assert_true(holds(place, wanted[i].name, wanted[i].value));
    }
    rig_down(&rig);
}

#define XSI "xmlns:x=\"http://www.w3.org/2001/XMLSchema-instance\""

/* What has no value gets none, whether it is known here or not, and is nobody's override; but ours are set. */
static void test_nil_is_put_back_as_nil(void **state)
{
    static const peer_row_t rows[] = {
        {.act = PEER_CHALLENGE},
        {.act = PEER_ANSWER,
         .body = SETTINGS("<g:BIOSSetup " XSI " x:nil=\"true\"/><g:ElementName " XSI " x:nil=\"1\"/>" INSTANCE
                          "<g:UseSOL " XSI " x:nil=\"true\"/><g:Unheard>7</g:Unheard>")},
        {.act = PEER_ANSWER, .body = ORDER("0")},
        {.act = PEER_ANSWER, .body = SETTINGS(INSTANCE)},
        {.act = PEER_ANSWER, .body = ROLE("0")}};
    static const char *const nil[] = {":BIOSSetup", ":ElementName"};
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    assert_int_equal(facts.boot.overridden, 0);
    set_boot(&rig, AMT_START_SOL);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(peer_requests(rig.peer, &requests), 5);
    for (size_t i = 0; i < COUNT(nil); i++) {
        const char *place = strstr(requests[3].body, nil[i]);

        assert_non_null(place);
        assert_memory_equal(place + strlen(nil[i]), " xsi:nil=\"true\"", strlen(" xsi:nil=\"true\""));
    }
    assert_non_null(strstr(requests[3].body, ":UseSOL>true<"));
    assert_non_null(strstr(requests[3].body, ":Unheard>7<"));
    rig_down(&rig);
}

/* A device that is not ready for one of the steps is asked for all of them, with what was read; then it must be read
 * again. */
static void test_not_ready_in_the_middle(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = old},
                                      {.act = PEER_ANSWER, .body = ORDER("0")},
                                      {.act = PEER_ANSWER, .body = SETTINGS(INSTANCE)},
                                      {.act = PEER_ANSWER, .body = ROLE("3")},
                                      {.act = PEER_ANSWER, .body = ORDER("0")},
                                      {.act = PEER_ANSWER, .body = SETTINGS(INSTANCE)},
                                      {.act = PEER_ANSWER, .body = ROLE("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    set_boot(&rig, AMT_START_SOL);
    assert_int_equal(rig.status, AMT_NOT_NOW);
    set_boot(&rig, AMT_START_SOL);
    assert_int_equal(rig.status, AMT_OK);
    set_boot(&rig, AMT_START_SOL);
    assert_int_equal(rig.status, AMT_REFUSED);
    assert_int_equal(peer_bodies(rig.peer, "transfer/Put"), 2);
    rig_down(&rig);
}

/* A Put may be answered by an empty body. And the settings serve once: firmware may have changed them. */
static void test_settings_serve_once(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = old},
                                      {.act = PEER_ANSWER, .body = ORDER("0")},
                                      {.act = PEER_ANSWER, .body = ANSWER(BOOT, "")},
                                      {.act = PEER_ANSWER, .body = ROLE("0")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    clear_boot(&rig);
    assert_int_equal(rig.status, AMT_OK);
    clear_boot(&rig);
    assert_int_equal(rig.status, AMT_REFUSED);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(peer_requests(rig.peer, NULL), 5);
    rig_down(&rig);
}

static void test_order_refused_means_no_put(void **state)
{
    static const peer_row_t rows[] = {
        {.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = old}, {.act = PEER_ANSWER, .body = ORDER("6")}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    clear_boot(&rig);
    assert_int_equal(rig.status, AMT_REFUSED);
    assert_int_equal(rig.return_value, 6);
    assert_non_null(strstr(rig.text, "access denied"));
    assert_int_equal(peer_requests(rig.peer, NULL), 3);
    rig_down(&rig);
}

/* The gate closes between the two: the first may have acted, and that is said. */
static int gate_open_once(void *baton)
{
    rig_t *rig = baton;

    return ++rig->gate_asked == 1;
}

static void test_gate_closes_in_between(void **state)
{
    static const peer_row_t rows[] = {{.act = PEER_CHALLENGE},
                                      {.act = PEER_ANSWER, .body = old},
                                      {.act = PEER_ANSWER, .body = ORDER("0")},
                                      {.act = PEER_ANSWER, .body = SETTINGS(INSTANCE)}};
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    rig_up(&rig, rows, COUNT(rows));
    read_boot(&rig, &facts);
    amt_clear_boot(rig.device, gate_open_once, &rig, rig_done, &rig);
    rig_wait(&rig);
    assert_int_equal(rig.status, AMT_FENCED);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 2);
    amt_device_destroy(rig.device);
    rig.device = NULL;
    assert_int_equal(peer_bodies(rig.peer, "transfer/Put"), 0);
    rig_down(&rig);
}

static void test_boot_garbage(void **state)
{
    static const char *const answers[] = {SETTINGS(""), SETTINGS("<g:UseIDER>true</g:UseIDER>"),
                                          SETTINGS(INSTANCE "<g:UseIDER><g:x/></g:UseIDER>"),
                                          ANSWER(BOOT, ""), ORDER("0")};

    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        peer_row_t rows[] = {{.act = PEER_CHALLENGE}, {.act = PEER_ANSWER, .body = answers[i]}};
        amt_facts_t facts;
        rig_t rig;

        rig_up(&rig, rows, COUNT(rows));
        read_boot(&rig, &facts);
        assert_int_equal(rig.status, AMT_GARBAGE);
        clear_boot(&rig);
        assert_int_equal(rig.status, AMT_REFUSED);
        rig_down(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overrides_are_named),
        cmocka_unit_test(test_summary_that_is_too_long),
        cmocka_unit_test(test_plain_boot_is_put_back),
        cmocka_unit_test(test_nil_is_put_back_as_nil),
        cmocka_unit_test(test_not_ready_in_the_middle),
        cmocka_unit_test(test_settings_serve_once),
        cmocka_unit_test(test_order_refused_means_no_put),
        cmocka_unit_test(test_gate_closes_in_between),
        cmocka_unit_test(test_boot_garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The WS-Man calls around redirection: what is read, what is written and what is not, and what a refusal
 * means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above first */
#include <apr_strings.h>
#include <cmocka.h>

#include "amt_rig.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IPS "http://intel.com/wbem/wscim/1/ips-schema/1/"
#define SERVICE(state, listener)                                                                             \
    ANSWER(AMT "AMT_RedirectionService",                                                                     \
           "<g:AMT_RedirectionService><g:AccessLog>one</g:AccessLog><g:AccessLog>two</g:AccessLog>"          \
           "<g:CreationClassName>AMT_RedirectionService</g:CreationClassName>"                               \
           "<g:EnabledState>" state "</g:EnabledState><g:ListenerEnabled>" listener                          \
           "</g:ListenerEnabled><g:Name>Intel(r) AMT Redirection Service</g:Name>"                           \
           "</g:AMT_RedirectionService>")
#define STATE_CHANGED(value)                                                                                 \
    ANSWER(AMT "AMT_RedirectionService", "<g:RequestStateChange_OUTPUT><g:ReturnValue>" value                \
                                         "</g:ReturnValue></g:RequestStateChange_OUTPUT>")
#define CONTROL_MODE(mode)                                                                                   \
    ANSWER(IPS "IPS_HostBasedSetupService", "<g:IPS_HostBasedSetupService><g:CurrentControlMode>" mode       \
                                            "</g:CurrentControlMode></g:IPS_HostBasedSetupService>")
#define OPT_IN(required, state)                                                                              \
    ANSWER(IPS "IPS_OptInService",                                                                           \
           "<g:IPS_OptInService><g:OptInRequired>" required "</g:OptInRequired><g:OptInState>" state         \
           "</g:OptInState></g:IPS_OptInService>")
#define CAPABILITIES(inside)                                                                                 \
    ANSWER(AMT "AMT_BootCapabilities", "<g:AMT_BootCapabilities>" inside "</g:AMT_BootCapabilities>")
#define BOOT_SETTINGS(inside)                                                                                \
    ANSWER(AMT "AMT_BootSettingData", "<g:AMT_BootSettingData>" inside "</g:AMT_BootSettingData>")
#define ORDER(value)                                                                                         \
    ANSWER(CIM "CIM_BootConfigSetting",                                                                      \
           "<g:ChangeBootOrder_OUTPUT><g:ReturnValue>" value "</g:ReturnValue></g:ChangeBootOrder_OUTPUT>")
#define ROLE(value)                                                                                          \
    ANSWER(CIM "CIM_BootService", "<g:SetBootConfigRole_OUTPUT><g:ReturnValue>" value                        \
                                  "</g:ReturnValue></g:SetBootConfigRole_OUTPUT>")
#define NOT_THERE FAULT("Sender", "b:DestinationUnreachable", "No route can be determined")
#define DENIED FAULT("Sender", "c:AccessDenied", "The sender was not authorized")

#define SCRIPT(...) ((const peer_row_t[]){{.act = PEER_CHALLENGE}, __VA_ARGS__})
#define UP(rig, ...) rig_up(rig, SCRIPT(__VA_ARGS__), sizeof(SCRIPT(__VA_ARGS__)) / sizeof(peer_row_t))
#define SAYS(text)                                                                                           \
    {                                                                                                        \
        .act = PEER_ANSWER, .body = (text)                                                                   \
    }
#define FAILS(text)                                                                                          \
    {                                                                                                        \
        .act = PEER_ANSWER, .status = 400, .body = (text)                                                    \
    }

/* ---- looking --------------------------------------------------------------------------------- */

static void read_redirection(rig_t *rig, amt_facts_t *facts)
{
    memset(facts, 0x55, sizeof(*facts));
    amt_read(rig->device, AMT_READ_REDIRECTION, facts, rig_done, rig);
    rig_wait(rig);
}

static void read_consent(rig_t *rig, amt_facts_t *facts)
{
    memset(facts, 0x55, sizeof(*facts));
    amt_read(rig->device, AMT_READ_CONSENT, facts, rig_done, rig);
    rig_wait(rig);
}

static void test_read_redirection(void **state)
{
    static const struct {
        const char *answer;
        amt_status_e status;
        int state;
        int listener;
    } cases[] = {
        {SERVICE("32771", "true"), AMT_OK, AMT_REDIRECTION_BOTH, 1},
        {SERVICE("32768", "false"), AMT_OK, AMT_REDIRECTION_OFF, 0},
        {SERVICE("many", "false"), AMT_GARBAGE, 0, 0},
        {SERVICE("70000", "false"), AMT_GARBAGE, 0, 0},
        {SERVICE("32771", "maybe"), AMT_GARBAGE, 0, 0},
        {SERVICE("32771", "<g:x/>"), AMT_GARBAGE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        UP(&rig, SAYS(cases[i].answer));
        read_redirection(&rig, &facts);
        assert_int_equal(rig.status, cases[i].status);
        if (cases[i].status == AMT_OK) {
            assert_int_equal(facts.redirection.state, cases[i].state);
            assert_int_equal(facts.redirection.listener, cases[i].listener);
        }
        else {
            amt_set_redirection(rig.device, &facts.redirection, rig_gate, &rig, rig_done, &rig);
            rig_wait(&rig);
            assert_int_equal(rig.status, AMT_REFUSED);
            assert_non_null(strstr(rig.text, "was not read before"));
        }
        rig_down(&rig);
    }
}

static void test_read_consent(void **state)
{
    static const struct {
        const char *mode;
        const char *opt_in;
        amt_status_e status;
        int control_mode;
        int needed;
    } cases[] = {
        {CONTROL_MODE("2"), OPT_IN("0", "0"), AMT_OK, 2, 0},
        {CONTROL_MODE("2"), OPT_IN("1", "0"), AMT_OK, 2, 0}, /* KVM only */
        {CONTROL_MODE("1"), OPT_IN("4294967295", "0"), AMT_OK, 1, 1},
        {CONTROL_MODE("1"), OPT_IN("4294967295", "3"), AMT_OK, 1, 0}, /* given */
        {NOT_THERE, OPT_IN("0", "0"), AMT_OK, -1, 0},
        {NOT_THERE, NOT_THERE, AMT_OK, -1, 0},
        {CONTROL_MODE("two"), OPT_IN("0", "0"), AMT_GARBAGE, -1, 0},
        {CONTROL_MODE("2"), OPT_IN("4294967296", "0"), AMT_GARBAGE, 2, 0},
        {CONTROL_MODE("2"), OPT_IN("0", ""), AMT_GARBAGE, 2, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        UP(&rig, SAYS(cases[i].mode), SAYS(cases[i].opt_in));
        read_consent(&rig, &facts);
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(facts.consent.control_mode, cases[i].control_mode);
        assert_int_equal(facts.consent.needed, cases[i].needed);
        rig_down(&rig);
    }
}

static void test_read_capabilities(void **state)
{
    static const struct {
        const char *answer;
        int storage;
        int sol;
    } cases[] = {
        {CAPABILITIES("<g:IDER>true</g:IDER><g:SOL>false</g:SOL>"), 1, 0},
        {CAPABILITIES("<g:IDER>false</g:IDER><g:SOL>true</g:SOL>"), 0, 1},
        {CAPABILITIES("<g:InstanceID>x</g:InstanceID>"), 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        UP(&rig, SAYS(cases[i].answer));
        memset(&facts, 0x55, sizeof(facts));
        amt_read(rig.device, AMT_READ_CAPABILITIES, &facts, rig_done, &rig);
        rig_wait(&rig);
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(facts.capabilities.storage, cases[i].storage);
        assert_int_equal(facts.capabilities.sol, cases[i].sol);
        rig_down(&rig);
    }
}

/* ---- switching ------------------------------------------------------------------------------- */

static void set_redirection(rig_t *rig, int state, int listener)
{
    amt_redirection_t wanted = {state, listener};

    amt_set_redirection(rig->device, &wanted, rig_gate, rig, rig_done, rig);
    rig_wait(rig);
}

static void test_nothing_to_switch(void **state)
{
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    UP(&rig, SAYS(SERVICE("32771", "true")));
    read_redirection(&rig, &facts);
    set_redirection(&rig, AMT_REDIRECTION_BOTH, 1);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 0);
    assert_int_equal(rig.gate_asked, 0);
    assert_int_equal(peer_requests(rig.peer, NULL), 2); /* challenge and Get */
    rig_down(&rig);
}

/* Only what differs is written, everything else is given back as it came, and putting it back works. */
static void test_switch(void **state)
{
    const peer_request_t *requests;
    amt_facts_t facts;
    rig_t rig;

    (void)state;
    UP(&rig, SAYS(SERVICE("32768", "false")), SAYS(STATE_CHANGED("0")), SAYS(SERVICE("32770", "false")),
       SAYS(SERVICE("32770", "true")), SAYS(SERVICE("32770", "true")), SAYS(SERVICE("32770", "false")));
    read_redirection(&rig, &facts);
    set_redirection(&rig, AMT_REDIRECTION_SOL, 1);
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.acted, 1);
    assert_int_equal(rig.gate_asked, 2);
    set_redirection(&rig, AMT_REDIRECTION_SOL, 0); /* state as it is */
    assert_int_equal(rig.status, AMT_OK);
    assert_int_equal(rig.gate_asked, 3);
    assert_int_equal(peer_requests(rig.peer, &requests), 7);
    assert_non_null(strstr(requests[2].body, "RequestedState>32770<"));
    assert_non_null(strstr(requests[4].body, "transfer/Put"));
    assert_non_null(strstr(requests[4].body, "ListenerEnabled>true<"));
    assert_non_null(strstr(requests[4].body, "EnabledState>32770<"));
    assert_non_null(strstr(requests[4].body, "AccessLog>one<"));
    assert_non_null(strstr(requests[4].body, "AccessLog>two<"));
    assert_non_null(strstr(requests[6].body, "ListenerEnabled>false<"));
    rig_down(&rig);
}

static void test_switch_refused(void **state)
{
    static const struct {
        peer_row_t row;
        int gate_open;
        amt_status_e status;
        const char *text;
    } cases[] = {
        {SAYS(STATE_CHANGED("1")), 1, AMT_REFUSED, "MEBx"},
        {SAYS(STATE_CHANGED("38")), 1, AMT_REFUSED, "too often"},
        {SAYS(STATE_CHANGED("0")), 0, AMT_FENCED, "nothing was sent"},
        {SAYS(ANSWER(AMT "AMT_RedirectionService", "<g:Other/>")), 1, AMT_GARBAGE, "something else"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        UP(&rig, SAYS(SERVICE("32768", "false")), cases[i].row);
        read_redirection(&rig, &facts);
        rig.gate_open = cases[i].gate_open;
        set_redirection(&rig, AMT_REDIRECTION_SOL, 1);
        assert_int_equal(rig.status, cases[i].status);
        assert_non_null(strstr(rig.text, cases[i].text));
        assert_int_equal(peer_bodies(rig.peer, "transfer/Put"), 0);
        rig_down(&rig);
    }
}

/* ---- setting the next start ------------------------------------------------------------------ */

#define FULL                                                                                                 \
    BOOT_SETTINGS("<g:BIOSSetup>true</g:BIOSSetup><g:ElementName>e</g:ElementName>"                          \
                  "<g:IDERBootDevice>0</g:IDERBootDevice><g:InstanceID>i</g:InstanceID>"                     \
                  "<g:OptionsCleared>true</g:OptionsCleared><g:PlatformErase>true</g:PlatformErase>"         \
                  "<g:UseIDER>false</g:UseIDER><g:UseSOL>false</g:UseSOL>")

static void set_boot(rig_t *rig, int start)
{
    amt_facts_t facts;

    amt_read(rig->device, AMT_READ_BOOT, &facts, rig_done, rig);
    rig_wait(rig);
    assert_int_equal(rig->status, AMT_OK);
    amt_set_boot(rig->device, start, rig_gate, rig, rig_done, rig);
    rig_wait(rig);
}

static void test_set_boot(void **state)
{
    static const struct {
        int start;
        const char *sol;
        const char *ider;
        const char *device;
    } cases[] = {
        {AMT_START_SOL, "UseSOL>true<", "UseIDER>false<", "IDERBootDevice>0<"},
        {AMT_START_IMAGE, "UseSOL>false<", "UseIDER>true<", "IDERBootDevice>1<"},
        {AMT_START_SOL | AMT_START_IMAGE, "UseSOL>true<", "UseIDER>true<", "IDERBootDevice>1<"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const peer_request_t *requests;
        rig_t rig;

        UP(&rig, SAYS(FULL), SAYS(ORDER("0")), SAYS(FULL), SAYS(ROLE("0")));
        set_boot(&rig, cases[i].start);
        assert_string_equal(rig.text, "");
        assert_int_equal(rig.status, AMT_OK);
        assert_int_equal(rig.gate_asked, 3);
        assert_int_equal(peer_requests(rig.peer, &requests), 5);
        assert_non_null(strstr(requests[2].body, "ChangeBootOrder_INPUT"));
        assert_null(strstr(requests[2].body, "Source"));
        assert_non_null(strstr(requests[3].body, cases[i].sol));
        assert_non_null(strstr(requests[3].body, cases[i].ider));
        assert_non_null(strstr(requests[3].body, cases[i].device));
        assert_non_null(strstr(requests[3].body, "BIOSSetup>false<"));
        assert_non_null(strstr(requests[3].body, "PlatformErase>false<"));
        assert_null(strstr(requests[3].body, "OptionsCleared"));
        assert_non_null(strstr(requests[4].body, "SetBootConfigRole_INPUT"));
        assert_non_null(strstr(requests[4].body, "Intel(r) AMT: Boot Configuration 0"));
        assert_non_null(strstr(requests[4].body, "Role>1<"));
        rig_down(&rig);
    }
}

static void test_no_such_option(void **state)
{
    rig_t rig;

    (void)state;
    UP(&rig, SAYS(BOOT_SETTINGS("<g:InstanceID>i</g:InstanceID><g:UseSOL>false</g:UseSOL>")));
    set_boot(&rig, AMT_START_IMAGE);
    assert_int_equal(rig.status, AMT_REFUSED);
    assert_non_null(strstr(rig.text, "UseIDER"));
    assert_int_equal(peer_requests(rig.peer, NULL), 2);
    rig_down(&rig);
}

/* Denied means consent where consent is needed, and an account without rights where it is not. */
static void test_consent_missing(void **state)
{
    static const struct {
        const char *opt_in;
        peer_row_t refusal;
        amt_status_e status;
    } cases[] = {
        {OPT_IN("4294967295", "0"), FAILS(DENIED), AMT_CONSENT},
        {OPT_IN("4294967295", "0"), SAYS(ORDER("6")), AMT_CONSENT},
        {OPT_IN("4294967295", "0"), SAYS(ORDER("3")), AMT_NOT_NOW},
        {OPT_IN("4294967295", "0"), SAYS(ORDER("1")), AMT_REFUSED},
        {OPT_IN("0", "0"), FAILS(DENIED), AMT_REFUSED},
        {OPT_IN("0", "0"), SAYS(ORDER("6")), AMT_REFUSED},
        {OPT_IN("0", "0"), SAYS(ORDER("2081")), AMT_CONSENT},
        {NOT_THERE, SAYS(ORDER("2081")), AMT_CONSENT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        amt_facts_t facts;
        rig_t rig;

        UP(&rig, SAYS(CONTROL_MODE("2")), SAYS(cases[i].opt_in), SAYS(FULL), cases[i].refusal);
        read_consent(&rig, &facts);
        set_boot(&rig, AMT_START_SOL);
        assert_int_equal(rig.status, cases[i].status);
        assert_int_equal(peer_bodies(rig.peer, "transfer/Put"), 0);
        rig_down(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_redirection),
        cmocka_unit_test(test_read_consent),
        cmocka_unit_test(test_read_capabilities),
        cmocka_unit_test(test_nothing_to_switch),
        cmocka_unit_test(test_switch),
        cmocka_unit_test(test_switch_refused),
        cmocka_unit_test(test_set_boot),
        cmocka_unit_test(test_no_such_option),
        cmocka_unit_test(test_consent_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

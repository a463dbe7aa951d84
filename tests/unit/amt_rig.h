/* SPDX-License-Identifier: Apache-2.0 */
/* A device of amt.h against a test peer: what every test of the AMT client sets up. */
#ifndef TESTS_UNIT_AMT_RIG_H
#define TESTS_UNIT_AMT_RIG_H

#include "amt/amt.h"
#include "amt_peer.h"

#define RIG_FQDN "pc1.example.com"
#define RIG_USER "unlocker"
#define RIG_PASSWORD "s3cret of the rig"

typedef struct {
    apr_pool_t *pool;
    struct event_base *base;
    amt_loop_t *loop;
    amt_target_t target;
    amt_device_t *device;
    peer_t *peer;
    int dones;           /* callbacks so far */
    amt_status_e status; /* what the last one said */
    int acted;
    int silent;
    int return_value;
    char text[640];
    int gate_open;
    int gate_asked;
} rig_t;

/* A peer with this script and a device for it over plain HTTP, or with `tls` as `trust` says. */
void rig_up(rig_t *rig, const peer_row_t *rows, size_t count);
void rig_up_tls(rig_t *rig, const peer_row_t *rows, size_t count, SSL_CTX *tls, const amt_target_t *trust);
void rig_down(rig_t *rig);

/* The callback for calls on a rig, and its gate. */
void rig_done(void *rig, const amt_result_t *result);
int rig_gate(void *rig);

/* Runs the loop until one more callback came; fails the test if that takes over 30 s. */
void rig_wait(rig_t *rig);
/* Runs what is ready, and nothing more. */
void rig_spin(rig_t *rig);

/* Calls and waits. */
void rig_read_power(rig_t *rig, amt_facts_t *facts);
void rig_request_power(rig_t *rig, int state);

/* An answer as firmware writes it: prefixes a to g, the class's namespace on the envelope. */
#define ANSWER(uri, body)                                                                                    \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a:Envelope "                                                 \
    "xmlns:a=\"http://www.w3.org/2003/05/soap-envelope\" "                                                   \
    "xmlns:b=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" "                                          \
    "xmlns:c=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" xmlns:g=\"" uri "\" "                        \
    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><a:Header>"                                     \
    "<b:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</b:To><b:RelatesTo>@ID@</"        \
    "b:RelatesTo>"                                                                                           \
    "<b:Action "                                                                                             \
    "a:mustUnderstand=\"true\">urn:response</b:Action><b:MessageID>uuid:00000000-8086</b:MessageID>"         \
    "<c:ResourceURI>" uri "</c:ResourceURI></a:Header><a:Body>" body "</a:Body></a:Envelope>"

#define CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define AMT "http://intel.com/wbem/wscim/1/amt-schema/1/"

#define POWER_ANSWER(inside)                                                                                 \
    ANSWER(CIM "CIM_AssociatedPowerManagementService",                                                       \
           "<g:CIM_AssociatedPowerManagementService>" inside "</g:CIM_AssociatedPowerManagementService>")
#define POWER_OFF_ANSWER                                                                                     \
    POWER_ANSWER("<g:AvailableRequestedPowerStates>2</g:AvailableRequestedPowerStates><g:PowerState>8</"     \
                 "g:PowerState>")
#define POWER_REQUESTED(value)                                                                               \
    ANSWER(CIM "CIM_PowerManagementService", "<g:RequestPowerStateChange_OUTPUT><g:ReturnValue>" value       \
                                             "</g:ReturnValue></g:RequestPowerStateChange_OUTPUT>")
#define FAULT(code, subcode, reason)                                                                         \
    ANSWER("http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",                                                 \
           "<a:Fault><a:Code><a:Value>a:" code "</a:Value><a:Subcode><a:Value>" subcode                      \
           "</a:Value></a:Subcode></a:Code><a:Reason><a:Text xml:lang=\"en-US\">" reason                     \
           "</a:Text></a:Reason><a:Detail/></a:Fault>")

#endif

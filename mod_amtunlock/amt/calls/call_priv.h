/* SPDX-License-Identifier: Apache-2.0 */
/* A call is a row of steps; a step is one WS-Man operation: what it asks, what it takes from the answer. A
 * new call is a table and the functions it names.
 */
#ifndef AMTUNLOCK_AMT_CALLS_CALL_PRIV_H
#define AMTUNLOCK_AMT_CALLS_CALL_PRIV_H

#include "amt/amt.h"
#include "amt/calls/device_priv.h"
#include "wsman/envelope.h"
#include "wsman/writer.h"

typedef struct amt_call_t amt_call_t;

typedef enum { AMT_VERB_GET, AMT_VERB_PUT, AMT_VERB_METHOD } amt_verb_e;

/* How a ReturnValue other than 0 is taken. */
enum { AMT_CODE_FAILED = 0, AMT_CODE_GOOD = 1, AMT_CODE_DENIED = 2, AMT_CODE_PASSING = 3 };

/* What a ReturnValue other than 0 means; ends with text == NULL. */
typedef struct {
    int value;
    int kind; /* AMT_CODE_... */
    const char *text;
} amt_code_t;

typedef struct {
    const char *uri; /* of the class */
    amt_verb_e verb;
    const char *method; /* AMT_VERB_METHOD */
    const wsman_selector_t *selectors;
    int once;     /* it acts: passes the gate, is never repeated */
    int optional; /* a refusal does not end the call */
    /* Whether the step is needed; NULL: it is. */
    int (*needed)(const amt_call_t *call);
    /* Whether the step is taken once more, for the next of several; NULL: it is not. */
    int (*again)(const amt_call_t *call);
    const amt_code_t *codes;
    /* Writes into the open payload element; may be NULL. */
    void (*write)(const amt_call_t *call, wsman_writer_t *writer);
    /* Takes what is wanted out of the answer's payload (the class's element, or METHOD_OUTPUT; NULL for the
     * empty answer to a Put). May be NULL. */
    amt_status_e (*read)(amt_call_t *call, const wsman_element_t *payload);
} amt_step_t;

struct amt_call_t {
    amt_device_t *device;
    apr_pool_t *pool;       /* of the step under way, empty at the next: thousands of calls wait at a time */
    const amt_step_t *step; /* the one under way, in a row that ends with uri == NULL */
    void *out;              /* the caller's, what the steps fill */
    int power_state;        /* wanted; amt_request_power() */
    int start;              /* AMT_START_...; amt_set_boot() */
    amt_redirection_t redirection; /* wanted; amt_set_redirection() */

    char message_id[16];
    int taken; /* times, the step that may be taken again */
    int acted;
    int silent;
    int return_value;
    amt_gate_fn gate;
    void *gate_baton;
    amt_done_fn done;
    void *baton;
};

/* ---- call.c ---------------------------------------------------------------------------------- */

/* A call of these steps (a static table), which may be filled in further until amt_call_begin(). NULL if the
 * device has a call under way: that is an error of the caller, and `done` is called with AMT_REFUSED from the
 * loop (in test builds: abort). */
amt_call_t *amt_call_create(amt_device_t *device, const amt_step_t *steps, void *out, amt_done_fn done,
                            void *baton);
void amt_call_begin(amt_call_t *call);
/* Ends a call before its first step, from the loop; the error message is in device->http.text. */
void amt_call_refuse(amt_call_t *call, amt_status_e status);

apr_status_t amt_call_init(amt_device_t *device);
/* The device goes: no callback any more. */
void amt_call_drop(amt_device_t *device);

/* ---- request.c ------------------------------------------------------------------------------- */

/* The envelope for the call's step, in its pool. */
apr_status_t amt_request_write(amt_call_t *call, const char **bytes, apr_size_t *length);

/* ---- answer.c -------------------------------------------------------------------------------- */

/* Reads the whole answer to the call's step: AMT_OK, AMT_REFUSED or AMT_GARBAGE. */
amt_status_e amt_answer_read(amt_call_t *call, const amt_reply_t *reply);
/* AMT_GARBAGE, with an error message that says what is missing or wrong in the answer. */
amt_status_e amt_answer_garbage(const amt_call_t *call, const char *what);
/* A property that is a number up to `max`. APR_NOTFOUND, APR_EINVAL. */
apr_status_t amt_answer_uint(const amt_call_t *call, const wsman_element_t *payload, const char *name,
                             unsigned int max, unsigned int *out);
/* "AMT_BootSettingData" of its URI. */
const char *amt_class_name(const char *uri);

#endif

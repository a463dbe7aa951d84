/* SPDX-License-Identifier: Apache-2.0 */
/* WS-Management of one AMT device: the table of its classes, and the operations on them. */
#ifndef AMTSIM_WSMAN_H
#define AMTSIM_WSMAN_H

#include "soap.h"

#define FIRMWARE_VERSION "12.0.67"

#define BASE_AMT "http://intel.com/wbem/wscim/1/amt-schema/1/"
#define BASE_IPS "http://intel.com/wbem/wscim/1/ips-schema/1/"
#define BASE_CIM "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"

/* A call of a method. */
struct call {
    struct pc *pc;
    const struct soap_request *request;
    const xmlNode *input; /* METHOD_INPUT */
    const char *uri;      /* of the class, which is the namespace of input and output */
    struct out out;       /* writes into METHOD_OUTPUT */
    bool drop;            /* the answer shall get lost */
};

struct method_entry {
    const char *name;
    /* Writes the output, ReturnValue too. Returns NULL or a fault (then the output is dropped). */
    const struct soap_fault *(*run)(struct call *call);
    unsigned long realms; /* if they differ from the class's */
};

struct wsman_class {
    const char *name, *base;
    const char *instances;        /* the class of its instances, where it is only a base of that; else NULL */
    const char *const *key_names; /* NULL-terminated; none for an association */
    const char *service;          /* the Name of a class keyed as CIM_Service is */
    const char *(*key)(int n, const char *name); /* of instance n, where it is not a service */
    void (*write)(struct out *out, struct pc *pc, int n);
    const struct soap_fault *(*put)(struct pc *pc, const xmlNode *instance, const char *uri);
    const struct method_entry *methods; /* ended by a NULL name */
    unsigned long realms;               /* one of them is needed */
    int count;                          /* instances */
    bool common;                        /* firmware declares the `common` namespace in its answers */
};

extern const char *const service_keys[], *const instance_keys[];

/* The classes, file by file; each ended by a NULL name. */
extern const struct wsman_class power_classes[], boot_classes[], general_classes[], redirection_classes[],
    consent_classes[], authorization_classes[];

/* Answers a request in *answer, which answer_begin() made. `busy`: another call is being answered. */
void wsman_answer(struct pc *pc, const struct account *account, const char *xml, size_t size, bool busy,
                  struct answer *answer);

/* For the instance writers: the members that every service has, up to and with its names. */
void write_service(struct out *out, const char *class_name, const char *name, const char *enabled_state);

/* A method's parameter as text, or NULL where it is missing. */
const char *call_text(const struct call *call, const char *name);

/* A method's parameter as a number; false where it is missing or none. */
bool call_number(const struct call *call, const char *name, unsigned long *value);

/* Reads an unsigned number of an element. */
bool read_number(const char *text, unsigned long max, unsigned long *value);

/* Writes ReturnValue, the last thing in an output. */
const struct soap_fault *return_value(struct call *call, unsigned long value);

#endif

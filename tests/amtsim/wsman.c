/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman.h"

#include "log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED_AT_FIRST 2
#define POWER_ACTION BASE_CIM "CIM_PowerManagementService/RequestPowerStateChange"

const char *const service_keys[] = {"CreationClassName", "Name", "SystemCreationClassName", "SystemName",
                                    NULL};
const char *const instance_keys[] = {"InstanceID", NULL};

static const struct wsman_class *const tables[] = {power_classes,   boot_classes,
                                                   general_classes, redirection_classes,
                                                   consent_classes, authorization_classes};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* What the actions that change nothing begin with. */
static const char *const looks[] = {"Get", "Enumerate", "Pull", "Release", "Identify"};

/* One request on its way through. */
struct operation {
    struct pc *pc;
    const struct wsman_class *class;
    const struct soap_request *request;
    struct answer *answer;
    struct call call; /* of a method */
    char uri[160];
};

/* ---- what the class files use -------------------------------------------------------------------------- */

void write_service(struct out *out, const char *class_name, const char *name, const char *enabled_state)
{
    out_text(out, "CreationClassName", class_name);
    out_text(out, "ElementName", name);
    out_text(out, "EnabledState", enabled_state);
    out_text(out, "Name", name);
    out_text(out, "RequestedState", "12");
    out_text(out, "SystemCreationClassName", "CIM_ComputerSystem");
    out_text(out, "SystemName", "Intel(r) AMT");
}

bool read_number(const char *text, unsigned long max, unsigned long *value)
{
    char *end;

    if (!text || !isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return !*end && !errno && *value <= max;
}

const char *call_text(const struct call *call, const char *name)
{
    const xmlNode *node = soap_child(call->input, call->uri, name);

    return node ? soap_text(node) : NULL;
}

bool call_number(const struct call *call, const char *name, unsigned long *value)
{
    return read_number(call_text(call, name), UINT32_MAX, value);
}

const struct soap_fault *return_value(struct call *call, unsigned long value)
{
    out_number(&call->out, "ReturnValue", value);
    return NULL;
}

/* ---- instances ----------------------------------------------------------------------------------------- */

static const char *service_key(const struct wsman_class *class, const char *name)
{
    if (!strcmp(name, "CreationClassName"))
        return class->name;
    if (!strcmp(name, "Name"))
        return class->service;
    return !strcmp(name, "SystemName") ? "Intel(r) AMT" : "CIM_ComputerSystem";
}

static const char *key_value(const struct wsman_class *class, int n, const char *name)
{
    for (const char *const *key = class->key_names; key && *key; key++) {
        if (!strcmp(*key, name))
            return class->service ? service_key(class, name) : class->key(n, name);
    }
    return NULL;
}

static bool is_selected(const struct operation *op, int n)
{
    for (int i = 0; i < op->request->selector_count; i++) {
        const char *value = key_value(op->class, n, op->request->selectors[i].name);
        if (!value || strcmp(value, op->request->selectors[i].value) != 0)
            return false;
    }
    return true;
}

/* The one instance that the selectors mean, or -1. */
static int selected_instance(const struct operation *op)
{
    if (op->class->count > 1 && op->request->selector_count == 0)
        return -1;
    for (int n = 0; n < op->class->count; n++) {
        if (is_selected(op, n))
            return n;
    }
    return -1;
}

static void write_instance(struct out *out, const struct operation *op, int n)
{
    out_open(out, op->class->instances ? op->class->instances : op->class->name);
    op->class->write(out, op->pc, n);
    out_close(out);
}

static void open_answer(struct operation *op, const char *action, bool enumeration)
{
    const char *common = op->class->common ? NS_COMMON : NULL;
    char uri[sizeof(op->uri)];
    const char *const for_get[] = {uri, common, NULL};
    const char *const for_pull[] = {NS_ENUMERATION, uri, common, NULL};

    snprintf(uri, sizeof(uri), "%s%s", op->class->base,
             op->class->instances ? op->class->instances : op->class->name);

    soap_open(op->answer, op->pc, op->request, action, enumeration ? for_pull : for_get);
}

static const struct soap_fault *answer_with_instance(struct operation *op, const char *action)
{
    struct out out = {op->answer->xml, "g"};
    int n = selected_instance(op);

    if (n < 0)
        return &fault_selectors;
    open_answer(op, action, false);
    write_instance(&out, op, n);
    soap_close(op->answer);
    return NULL;
}

static const struct soap_fault *get(struct operation *op)
{
    return answer_with_instance(op, NS_TRANSFER "/GetResponse");
}

static const struct soap_fault *put(struct operation *op)
{
    const struct soap_fault *fault;
    const xmlNode *instance = op->request->body;

    if (!op->class->put)
        return &fault_action;
    if (selected_instance(op) < 0)
        return &fault_selectors;
    if (!instance || !instance->ns || !xmlStrEqual(instance->ns->href, (const xmlChar *)op->uri) ||
        !xmlStrEqual(instance->name, (const xmlChar *)op->class->name))
        return &fault_representation;
    fault = op->class->put(op->pc, instance, op->uri);
    return fault ? fault : answer_with_instance(op, NS_TRANSFER "/PutResponse");
}

/* ---- enumerations -------------------------------------------------------------------------------------- */

/* Firmware's contexts are a counter in little-endian hexadecimal, dressed up as a UUID. */
static void context_text(uint32_t context, char *text, size_t size)
{
    snprintf(text, size, "%02X%02X%02X%02X-0000-0000-0000-000000000000", context & 255, context >> 8 & 255,
             context >> 16 & 255, context >> 24);
}

static bool wants_references(const struct operation *op, bool *references)
{
    const xmlNode *mode = soap_child(op->request->body, NS_WSMAN, "EnumerationMode");
    const char *text = mode ? soap_text(mode) : NULL;

    *references = text && !strcmp(text, "EnumerateEPR");
    return !mode || *references;
}

static bool body_is(const struct operation *op, const char *name)
{
    const xmlNode *body = op->request->body;

    return body && body->ns && xmlStrEqual(body->ns->href, (const xmlChar *)NS_ENUMERATION) &&
           xmlStrEqual(body->name, (const xmlChar *)name);
}

static const struct soap_fault *enumerate(struct operation *op)
{
    struct pc *pc = op->pc;
    struct out out = {op->answer->xml, "g"};
    struct enumeration *slot = &pc->enumerations[++pc->enumeration_last % ENUMERATIONS_KEPT];
    char text[48];
    bool references;

    if (!body_is(op, "Enumerate"))
        return &fault_schema;
    if (!wants_references(op, &references))
        return &fault_action;
    *slot = (struct enumeration){.context = pc->enumeration_last, .of = op->class, .references = references};
    context_text(slot->context, text, sizeof(text));
    soap_open(op->answer, pc, op->request, NS_ENUMERATION "/EnumerateResponse",
              (const char *const[]){NS_ENUMERATION, NULL});
    out_open(&out, "EnumerateResponse");
    out_text(&out, "EnumerationContext", text);
    out_close(&out);
    soap_close(op->answer);
    return NULL;
}

static struct enumeration *find_enumeration(const struct operation *op)
{
    const xmlNode *node = soap_child(op->request->body, NS_ENUMERATION, "EnumerationContext");
    const char *given = node ? soap_text(node) : NULL;
    char text[48];

    for (int i = 0; given && i < ENUMERATIONS_KEPT; i++) {
        struct enumeration *slot = &op->pc->enumerations[i];
        context_text(slot->context, text, sizeof(text));
        if (slot->context && slot->of == op->class && !strcmp(text, given))
            return slot;
    }
    return NULL;
}

static void write_reference(xmlTextWriter *xml, const struct operation *op, int n)
{
    struct selector selectors[SELECTORS_MAX];
    int count = 0;

    for (const char *const *key = op->class->key_names; key && *key; key++) {
        selectors[count].name = *key;
        selectors[count++].value = key_value(op->class, n, *key);
    }
    xmlTextWriterStartElement(xml, (const xmlChar *)"b:EndpointReference");
    out_reference(xml, op->uri, selectors, count);
    xmlTextWriterFullEndElement(xml);
}

/* Items for this Pull: one if the client does not say otherwise [WS-Enumeration 3.2]. */
static bool max_elements(const struct operation *op, unsigned long *max)
{
    const xmlNode *node = soap_child(op->request->body, NS_ENUMERATION, "MaxElements");

    *max = 1;
    return !node || (read_number(soap_text(node), UINT32_MAX, max) && *max > 0);
}

static void write_items(const struct operation *op, struct enumeration *slot, unsigned end, struct out *out,
                        struct out *items)
{
    out_open(out, "Items");
    for (; slot->next < end; slot->next++) {
        if (slot->references)
            write_reference(op->answer->xml, op, (int)slot->next);
        else
            write_instance(items, op, (int)slot->next);
    }
    out_close(out);
}

static const struct soap_fault *pull(struct operation *op)
{
    struct enumeration *slot = find_enumeration(op);
    struct out out = {op->answer->xml, "g"}, items = {op->answer->xml, "h"};
    unsigned long max;
    char text[48];

    if (!body_is(op, "Pull") || !max_elements(op, &max))
        return &fault_schema;
    if (!slot)
        return &fault_context;
    unsigned end = (unsigned)op->class->count;
    if (max < end - slot->next)
        end = slot->next + (unsigned)max;
    bool last = end == (unsigned)op->class->count;
    open_answer(op, NS_ENUMERATION "/PullResponse", true);
    out_open(&out, "PullResponse");
    context_text(slot->context, text, sizeof(text));
    if (!last)
        out_text(&out, "EnumerationContext", text);
    write_items(op, slot, end, &out, &items);
    if (last) {
        slot->context = 0;
        out_text(&out, "EndOfSequence", "");
    }
    out_close(&out);
    soap_close(op->answer);
    return NULL;
}

static const struct soap_fault *release(struct operation *op)
{
    struct enumeration *slot = find_enumeration(op);

    if (!body_is(op, "Release"))
        return &fault_schema;
    if (!slot)
        return &fault_context;
    slot->context = 0;
    soap_open(op->answer, op->pc, op->request, NS_ENUMERATION "/ReleaseResponse",
              (const char *const[]){NS_ENUMERATION, NULL});
    soap_close(op->answer);
    return NULL;
}

/* ---- methods ------------------------------------------------------------------------------------------- */

static const struct method_entry *find_method(const struct operation *op)
{
    size_t length = strlen(op->uri);
    const char *action = op->request->action;

    if (strncmp(action, op->uri, length) != 0 || action[length] != '/')
        return NULL;
    for (const struct method_entry *method = op->class->methods; method && method->name; method++) {
        if (!strcmp(method->name, action + length + 1))
            return method;
    }
    return NULL;
}

static bool input_is(const xmlNode *body, const char *uri, const char *method)
{
    char name[128];

    snprintf(name, sizeof(name), "%s_INPUT", method);
    return body && body->ns && xmlStrEqual(body->ns->href, (const xmlChar *)uri) &&
           xmlStrEqual(body->name, (const xmlChar *)name);
}

static const struct soap_fault *invoke(struct operation *op, const struct method_entry *method)
{
    struct call *call = &op->call;
    char action[256], output[128];

    if (selected_instance(op) < 0)
        return &fault_selectors;
    if (!input_is(op->request->body, op->uri, method->name))
        return &fault_schema;
    snprintf(action, sizeof(action), "%s/%sResponse", op->uri, method->name);
    snprintf(output, sizeof(output), "%s_OUTPUT", method->name);
    soap_open(op->answer, op->pc, op->request, action, (const char *const[]){op->uri, NULL});
    *call = (struct call){op->pc, op->request, op->request->body, op->uri, {op->answer->xml, "g"}, false};
    out_open(&call->out, output);
    const struct soap_fault *fault = method->run(call);
    out_close(&call->out);
    soap_close(op->answer);
    op->answer->drop = call->drop;
    return fault;
}

/* The log has a line for every power request that an authenticated console sent, however it ended. */
static void note_refused_power(struct pc *pc, const struct soap_request *request, int result)
{
    unsigned long state = 0;
    const xmlNode *node;

    if (!request->action || strcmp(request->action, POWER_ACTION) != 0)
        return;
    node = soap_child(request->body, BASE_CIM "CIM_PowerManagementService", "PowerState");
    if (node)
        read_number(soap_text(node), 1000, &state);
    pc_log_refused_power(pc, (int)state, result);
}

/* ---- what is refused at first --------------------------------------------------------------------------- */

static uint32_t digest(uint32_t so_far, const char *text)
{
    for (; *text; text++)
        so_far = (so_far ^ (unsigned char)*text) * 16777619U;
    return so_far;
}

/* Each action on each resource is refused so often, then served. */
static bool is_refused_at_first(struct pc *pc, const char *resource, const char *action)
{
    uint32_t of = digest(digest(2166136261U, resource), action);
    struct refusal *slot = pc->refusals;

    while (slot < pc->refusals + REFUSALS_KEPT && slot->times && slot->of != of)
        slot++;
    if (slot == pc->refusals + REFUSALS_KEPT || slot->times >= REFUSED_AT_FIRST)
        return false;
    slot->of = of;
    slot->times++;
    return true;
}

/* The faults of a device that serves nothing at once: it did nothing, and does it later. */
static bool not_now(const struct operation *op, const struct method_entry *method)
{
    struct pc *pc = op->pc;
    bool any =
        pc_has(pc, FAULT_NOT_NOW_400) || pc_has(pc, FAULT_NOT_NOW_503) || pc_has(pc, FAULT_NOT_NOW_FAULT);

    return (any || (method && pc_has(pc, FAULT_NOT_READY))) &&
           is_refused_at_first(pc, op->request->resource, op->request->action);
}

static const struct soap_fault *say_not_ready(struct call *call)
{
    return return_value(call, RESULT_NOT_READY);
}

static const struct soap_fault *refuse_for_now(struct operation *op, const struct method_entry *method)
{
    const struct method_entry not_ready = {method ? method->name : "", say_not_ready, 0};

    if (method && pc_has(op->pc, FAULT_NOT_READY)) {
        note_refused_power(op->pc, op->request, RESULT_NOT_READY);
        return invoke(op, &not_ready);
    }
    if (pc_has(op->pc, FAULT_NOT_NOW_FAULT))
        return &fault_busy;
    op->answer->status = pc_has(op->pc, FAULT_NOT_NOW_400) ? 400 : 503;
    op->answer->wordless = true;
    note_refused_power(op->pc, op->request, -1);
    return NULL;
}

/* ---- dispatch ------------------------------------------------------------------------------------------ */

static const struct {
    const char *action;
    const struct soap_fault *(*run)(struct operation *op);
} verbs[] = {
    {NS_TRANSFER "/Get", get},
    {NS_TRANSFER "/Put", put},
    {NS_ENUMERATION "/Enumerate", enumerate},
    {NS_ENUMERATION "/Pull", pull},
    {NS_ENUMERATION "/Release", release},
};

static const struct wsman_class *find_class(struct operation *op)
{
    for (size_t i = 0; i < TABLES; i++) {
        for (const struct wsman_class *class = tables[i]; class->name; class ++) {
            snprintf(op->uri, sizeof(op->uri), "%s%s", class->base, class->name);
            if (!strcmp(op->uri, op->request->resource))
                return class;
        }
    }
    return NULL;
}

static bool may(const struct account *account, unsigned long realms)
{
    return (account->realms & (realms | REALM_ADMINISTRATION)) != 0;
}

static const struct soap_fault *dispatch(struct operation *op, const struct account *account, bool busy)
{
    const struct method_entry *method;

    op->class = find_class(op);
    if (!op->class)
        return &fault_unreachable;
    method = find_method(op);
    if (!may(account, method && method->realms ? method->realms : op->class->realms))
        return &fault_denied;
    if (busy)
        return &fault_busy;
    if (not_now(op, method))
        return refuse_for_now(op, method);
    if (method)
        return invoke(op, method);
    for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
        if (!strcmp(verbs[i].action, op->request->action))
            return verbs[i].run(op);
    }
    return &fault_action;
}

/* Everything but a look: the log has a line for it, whatever came of it. */
static void note_write(const struct pc *pc, const struct soap_request *request)
{
    const char *slash = request->action ? strrchr(request->action, '/') : NULL;

    for (size_t i = 0; slash && i < sizeof(looks) / sizeof(*looks); i++) {
        if (!strncmp(slash + 1, looks[i], strlen(looks[i])))
            return;
    }
    log_event(pc->fqdn, "write", json_pack("{s:s}", "action", slash ? slash + 1 : ""));
}

void wsman_answer(struct pc *pc, const struct account *account, const char *xml, size_t size, bool busy,
                  struct answer *answer)
{
    struct soap_request request;
    struct operation op = {.pc = pc, .request = &request, .answer = answer};
    const struct soap_fault *fault = soap_read(&request, xml, size);

    if (!fault && !request.identify)
        note_write(pc, &request);
    if (!fault && request.identify)
        soap_write_identity(answer, "AMT " FIRMWARE_VERSION);
    else if (!fault)
        fault = dispatch(&op, account, busy);
    if (fault) {
        note_refused_power(pc, &request, -1);
        soap_write_fault(answer, pc, &request, fault);
    }
    soap_release(&request);
}

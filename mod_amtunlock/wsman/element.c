/* SPDX-License-Identifier: Apache-2.0 */
#include "wsman/element_priv.h"

#include <apr_strings.h>
#include <string.h>

#include "base/text.h"
#include "wsman/charset_priv.h"
#include "wsman/names.h"

int wsman_is_element(const wsman_element_t *element, const char *ns, const char *name)
{
    return element != NULL && strcmp(element->name, name) == 0 &&
           (ns == NULL || strcmp(element->ns, ns) == 0);
}

static const wsman_element_t *find_from(const wsman_element_t *element, const char *ns, const char *name)
{
    while (element != NULL && !wsman_is_element(element, ns, name)) {
        element = element->next;
    }
    return element;
}

const wsman_element_t *wsman_child(const wsman_element_t *parent, const char *ns, const char *name)
{
    return parent == NULL ? NULL : find_from(parent->child, ns, name);
}

const wsman_element_t *wsman_next_same(const wsman_element_t *element)
{
    return element == NULL ? NULL : find_from(element->next, element->ns, element->name);
}

const char *wsman_attribute(const wsman_element_t *element, const char *ns, const char *name)
{
    if (element == NULL) {
        return NULL;
    }
    for (const wsman_attribute_t *at = element->attributes; at != NULL; at = at->next) {
        if (strcmp(at->name, name) == 0 && strcmp(at->ns, ns) == 0) {
            return at->value;
        }
    }
    return NULL;
}

/* White space of XML, independent of the locale */
static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *trim_space(const char *text, apr_pool_t *pool)
{
    apr_size_t length;

    while (is_space(*text)) {
        text++;
    }
    length = strlen(text);
    if (length == 0 || !is_space(text[length - 1])) {
        return text;
    }
    while (length > 0 && is_space(text[length - 1])) {
        length--;
    }
    return apr_pstrmemdup(pool, text, length);
}

const char *wsman_one_line(const char *text, apr_pool_t *pool)
{
    enum { LONGEST = 500 };
    char *line = apr_palloc(pool, LONGEST + sizeof("..."));
    apr_size_t length = 0;

    text = trim_space(text, pool);
    for (; *text != '\0' && length < LONGEST; text++) {
        if (is_space(*text) && is_space(text[1])) {
            continue;
        }
        line[length++] = is_space(*text) ? ' ' : *text;
    }
    apr_cpystrn(line + length, *text != '\0' ? "..." : "", sizeof("..."));
    text_mask_controls(line); /* DEL and the C1 controls are legal in XML */
    return wsman_make_xml_text(line, pool);
}

const char *wsman_text(const wsman_element_t *element, apr_pool_t *pool)
{
    return element == NULL ? "" : trim_space(element->text, pool);
}

const char *wsman_child_text(const wsman_element_t *parent, const char *ns, const char *name,
                             apr_pool_t *pool)
{
    const wsman_element_t *child = wsman_child(parent, ns, name);

    return child == NULL ? NULL : wsman_text(child, pool);
}

int wsman_is_true(const char *text)
{
    return text != NULL && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
}

int wsman_is_nil(const wsman_element_t *element)
{
    return wsman_is_true(wsman_attribute(element, WSMAN_URI_XSI, "nil"));
}

/* The namespace of a prefix ("" for none) at this element. */
static const char *namespace_of_prefix(const wsman_element_t *element, const char *prefix)
{
    const char *ns = NULL;

    for (; element != NULL && ns == NULL; element = element->parent) {
        ns = wsman_attribute(element, WSMAN_URI_XMLNS, prefix);
    }
    return ns;
}

wsman_qname_t wsman_qname(const wsman_element_t *element, const char *text, apr_pool_t *pool)
{
    wsman_qname_t name = {"", NULL};
    const char *trim = trim_space(text, pool);
    const char *colon = strchr(trim, ':');
    const char *prefix = colon == NULL ? "" : apr_pstrmemdup(pool, trim, (apr_size_t)(colon - trim));
    const char *ns = namespace_of_prefix(element, prefix);

    if (ns == NULL && colon != NULL) {
        return name;
    }
    name.ns = ns == NULL ? "" : ns;
    name.local = colon == NULL ? trim : colon + 1;
    return name;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces and URIs of WS-Management and its relatives (DSP0226 annex A, DSP0227, DSP0230). */
#ifndef AMTUNLOCK_WSMAN_NAMES_H
#define AMTUNLOCK_WSMAN_NAMES_H

#define WSMAN_URI_SOAP "http://www.w3.org/2003/05/soap-envelope"
#define WSMAN_URI_SOAP11 "http://schemas.xmlsoap.org/soap/envelope/"
#define WSMAN_URI_WSA "http://schemas.xmlsoap.org/ws/2004/08/addressing"
#define WSMAN_URI_WSMAN "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
#define WSMAN_URI_WSEN "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
#define WSMAN_URI_WXF "http://schemas.xmlsoap.org/ws/2004/09/transfer"
#define WSMAN_URI_WSMID "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
#define WSMAN_URI_WSMB "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
#define WSMAN_URI_CIM_COMMON "http://schemas.dmtf.org/wbem/wscim/1/common"
#define WSMAN_URI_XSI "http://www.w3.org/2001/XMLSchema-instance"
#define WSMAN_URI_XML "http://www.w3.org/XML/1998/namespace"
#define WSMAN_URI_XMLNS "http://www.w3.org/2000/xmlns/"

#define WSMAN_URI_ANONYMOUS WSMAN_URI_WSA "/role/anonymous"
#define WSMAN_URI_FAULT_DETAIL "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"

/* "Every class there is" (DSP0227 5.2) */
#define WSMAN_URI_ALL_CLASSES "http://schemas.dmtf.org/wbem/wscim/1/*"
#define WSMAN_URI_CIM_CLASS "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
#define WSMAN_URI_AMT_CLASS "http://intel.com/wbem/wscim/1/amt-schema/1/"
#define WSMAN_URI_IPS_CLASS "http://intel.com/wbem/wscim/1/ips-schema/1/"

#define WSMAN_ACTION_GET WSMAN_URI_WXF "/Get"
#define WSMAN_ACTION_PUT WSMAN_URI_WXF "/Put"
#define WSMAN_ACTION_CREATE WSMAN_URI_WXF "/Create"
#define WSMAN_ACTION_DELETE WSMAN_URI_WXF "/Delete"
#define WSMAN_ACTION_ENUMERATE WSMAN_URI_WSEN "/Enumerate"
#define WSMAN_ACTION_PULL WSMAN_URI_WSEN "/Pull"
#define WSMAN_ACTION_RELEASE WSMAN_URI_WSEN "/Release"

/* The prefixes that the writer declares and uses; some consoles compare them as text. */
typedef enum {
    WSMAN_NS_SOAP,  /* s     */
    WSMAN_NS_WSA,   /* wsa   */
    WSMAN_NS_WSMAN, /* wsman */
    WSMAN_NS_WSEN,  /* wsen  */
    WSMAN_NS_WXF,   /* wxf   */
    WSMAN_NS_WSMID, /* wsmid */
    WSMAN_NS_WSMB,  /* wsmb  */
    WSMAN_NS_CIM,   /* cim   */
    WSMAN_NS_XSI,   /* xsi   */
    WSMAN_NS_CLASS, /* p: the class that wsman_start_class() opened last */
    WSMAN_NAMESPACES
} wsman_ns_e;

#endif

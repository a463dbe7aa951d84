#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# curl with --negotiate: Kerberos where there is a ticket, else NTLM (NTLM_USER_FILE). The course of a console.
set -eu

SERVICE=http://intel.com/wbem/wscim/1/amt-schema/1/AMT_RemoteEncryptionService
JOB=http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ConcreteJob
WSA=http://schemas.xmlsoap.org/ws/2004/08/addressing
WSEN=http://schemas.xmlsoap.org/ws/2004/09/enumeration
WSMID=http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd
GET=http://schemas.xmlsoap.org/ws/2004/09/transfer/Get

# envelope HEADER BODY
envelope() {
    printf '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="%s" xmlns:wsen="%s" xmlns:wsmid="%s"' \
        "$WSA" "$WSEN" "$WSMID"
    printf ' xmlns:wsman="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"><s:Header>%s</s:Header><s:Body>%s</s:Body></s:Envelope>' \
        "$1" "$2"
}

post() {
    curl -sS --negotiate -u : --cacert "$AMTU_CA" -H 'Content-Type: application/soap+xml;charset=UTF-8' --data-binary @- "$AMTU_URL"
}

# ask RESOURCE ACTION BODY [INSTANCE-ID]
ask() {
    selectors=
    [ $# -lt 4 ] || selectors="<wsman:SelectorSet><wsman:Selector Name=\"InstanceID\">$4</wsman:Selector></wsman:SelectorSet>"
    envelope "<wsa:To>$AMTU_URL</wsa:To><wsa:Action>$2</wsa:Action><wsman:ResourceURI>$1</wsman:ResourceURI>
<wsa:MessageID>uuid:$(cat /proc/sys/kernel/random/uuid)</wsa:MessageID>
<wsa:ReplyTo><wsa:Address>$WSA/role/anonymous</wsa:Address></wsa:ReplyTo>$selectors" "$3" | post
}

# text ELEMENT: what each element of this name holds, one a line
text() {
    tr '<' '\n' | sed -n "s/^\(\w*:\)\?$1[^>]*>//p"
}

# words: lines as one line of words
words() {
    tr '\n' ' ' | sed 's/ *$//'
}

tell() {
    name=$1
    shift
    printf '%s\t%s\n' "$name" "$*"
}

tell product "$(envelope '' '<wsmid:Identify/>' | post | text ProductVendor)"
context=$(ask "$SERVICE" "$WSEN/Enumerate" '<wsen:Enumerate/>' | text EnumerationContext)
tell service "$(ask "$SERVICE" "$WSEN/Pull" \
    "<wsen:Pull><wsen:EnumerationContext>$context</wsen:EnumerationContext></wsen:Pull>" | text CreationClassName)"
tell maximum "$(ask "$SERVICE" "$GET" '' | text MaxSystemsPerRequest)"
systems=
for system in $AMTU_SYSTEMS; do
    systems="$systems<p:systems>$system</p:systems>"
done
job=$(ask "$SERVICE" "$SERVICE/UnlockSystems" "<p:UnlockSystems_INPUT xmlns:p=\"$SERVICE\">$systems</p:UnlockSystems_INPUT>" |
    text 'Selector Name="InstanceID"')
tell job "$job"
while :; do
    state=$(ask "$JOB" "$GET" '' "$job" | text JobState)
    [ "$state" -lt 7 ] || break
    sleep 0.5
done
tell state "$state"
results=$(ask "$SERVICE" "$SERVICE/GetUnlockedSystems" \
    "<p:GetUnlockedSystems_INPUT xmlns:p=\"$SERVICE\"><p:InstanceID>$job</p:InstanceID></p:GetUnlockedSystems_INPUT>")
tell unlocked "$(echo "$results" | text unlockedSystems | words)"
tell failed "$(echo "$results" | text failedSystems | words)"
errors=$(ask "$JOB" "$JOB/GetErrors" '' "$job")
tell error "$(echo "$errors" | text ErrorSource)" "$(echo "$errors" | text MessageID | tail -n 1)"
end=$(($(date +%s) + AMTU_FORGOTTEN_WITHIN))
answer='it is still there'
while [ "$(date +%s)" -lt "$end" ]; do
    answer=$(ask "$JOB" "$GET" '' "$job")
    case $answer in *Fault*) break ;; esac
    sleep 1
done
tell gone "$(echo "$answer" | text Value | tail -n 1)" "$(echo "$answer" | text FaultDetail | sed 's,.*/,,')"

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# wsl ("Wsman Shell commandLine"), whose messages are its own; it speaks through curl, which a .curlrc tells to use
# the ticket. The course of a console.
set -eu

SERVICE=http://intel.com/wbem/wscim/1/amt-schema/1/AMT_RemoteEncryptionService
endpoint=${AMTU_URL#https://}
endpoint=${endpoint%/wsman}

# wsl keeps what it is told, the answers and the server's certificate in the folder where it runs.
cd "$AMTU_SCRATCH"
echo negotiate >.curlrc
cp "$AMTU_CA" "$endpoint.crt"
export HOME=$PWD CURL_HOME=$PWD WSENDPOINT=$endpoint WSUSER=ticket WSPASS=none WSAUTOMATED=1 WSDONTASK=y OUTLEVEL=0 KEEPHISTORY=0

# text ELEMENT: what each element of this name holds in the last answer, one a line
text() {
    sed -n "s/^ *<\(\w*:\)\?$1\( [^>]*\)\?>\([^<]*\)<.*/\3/p" response.xml
}

tell() {
    local name=$1
    shift
    printf '%s\t%s\n' "$name" "$*"
}

wsl id check
tell product "$(text ProductVendor)"
wsl enum "$SERVICE"
tell service "$(text CreationClassName)"
wsl get "$SERVICE" || true # it takes an answer without the selector it asked for as a failure: a singleton needs none
tell maximum "$(text MaxSystemsPerRequest)"
parameters=()
for system in $AMTU_SYSTEMS; do
    parameters+=("systems=$system")
done
wsl invoke "$SERVICE" UnlockSystems "${parameters[@]}"
cp response.xml job.xml
job=$(text Selector)
tell job "$job"
while :; do
    wsl get CIM_ConcreteJob "InstanceID=$job"
    state=$(text JobState)
    [ "$state" -lt 7 ] || break
    sleep 0.5
done
tell state "$state"
wsl invoke "$SERVICE" GetUnlockedSystems "InstanceID=$job"
tell unlocked "$(text unlockedSystems | xargs)"
tell failed "$(text failedSystems | xargs)"
wsl invoke CIM_ConcreteJob GetErrors -inst job.xml # the reference as it came
tell error "$(text ErrorSource)" "$(text MessageID | tail -n 1)"
end=$((SECONDS + AMTU_FORGOTTEN_WITHIN))
while [ "$SECONDS" -lt "$end" ] && wsl get CIM_ConcreteJob "InstanceID=$job"; do
    sleep 1
done
tell gone "$(text Value | tail -n 1)" "$(text FaultDetail | sed 's,.*/,,')"

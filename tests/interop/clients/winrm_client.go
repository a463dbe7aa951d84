// SPDX-License-Identifier: Apache-2.0
// The course of a console in Go: the envelopes of github.com/masterzen/winrm, which sends them as this program does,
// with raw NTLM by github.com/Azure/go-ntlmssp.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/go-ntlmssp"
	"github.com/masterzen/simplexml/dom"
	"github.com/masterzen/winrm/soap"
)

const (
	service = "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_RemoteEncryptionService"
	job     = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ConcreteJob"
	get     = soap.NS_TRANSFER + "/Get"
)

var (
	identification = dom.Namespace{Prefix: "wsmid", Uri: "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"}
	ofService      = dom.Namespace{Prefix: "c", Uri: service}
	ofJob          = dom.Namespace{Prefix: "c", Uri: job}
)

type argument struct{ name, value string }

type console struct{ http http.Client }

func must(problem error) {
	if problem != nil {
		fmt.Fprintln(os.Stderr, problem)
		os.Exit(1)
	}
}

func tell(name string, values ...string) {
	fmt.Printf("%s\t%s\n", name, strings.Join(values, " "))
}

// What each element of this name holds.
func texts(answer, name string) []string {
	found := []string{}
	for _, one := range regexp.MustCompile(`<(?:\w+:)?`+name+`(?: [^>]*)?>([^<]*)<`).FindAllStringSubmatch(answer, -1) {
		found = append(found, one[1])
	}
	return found
}

func last(found []string) string {
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

func text(answer, name string) string {
	return strings.Join(texts(answer, name), " ")
}

func connect() *console {
	trust, problem := os.ReadFile(os.Getenv("AMTU_CA"))
	must(problem)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trust)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &console{http.Client{Transport: ntlmssp.Negotiator{RoundTripper: transport}}}
}

func (c *console) post(envelope string) string {
	request, problem := http.NewRequest("POST", os.Getenv("AMTU_URL"), strings.NewReader(envelope))
	must(problem)
	request.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	request.SetBasicAuth(os.Getenv("AMTU_NTLM_USER"), os.Getenv("AMTU_NTLM_PASSWORD")) // the Negotiator makes NTLM of it
	answer, problem := c.http.Do(request)
	must(problem)
	defer answer.Body.Close()
	body, problem := io.ReadAll(answer.Body)
	must(problem)
	if answer.StatusCode != 200 && !strings.Contains(string(body), "Fault>") {
		must(fmt.Errorf("status %d", answer.StatusCode))
	}
	return string(body)
}

func (c *console) ask(resource, action, id string, namespace dom.Namespace, element string, arguments ...argument) string {
	message := soap.NewMessage()
	header := message.Header().To(os.Getenv("AMTU_URL")).ReplyTo(soap.NS_ADDRESSING + "/role/anonymous").
		MaxEnvelopeSize(153600).Timeout("PT60S").Locale("en-US").Action(action).ResourceURI(resource).
		Id(fmt.Sprintf("uuid:%08X-0000-4000-8000-%012X", os.Getpid(), time.Now().UnixNano()&0xffffffffffff))
	if id != "" {
		header.ShellId(id)
	}
	header.Build()
	if element == "" {
		message.NewBody()
	} else {
		body := message.CreateBodyElement(element, namespace)
		for _, one := range arguments {
			message.CreateElement(body, one.name, namespace).SetContent(one.value)
		}
	}
	// The one selector that the library knows is a shell's.
	return c.post(strings.Replace(message.String(), `Name="ShellId"`, `Name="InstanceID"`, 1))
}

func (c *console) identify() string {
	message := soap.NewMessage()
	message.CreateBodyElement("Identify", identification)
	return c.post(message.String())
}

func (c *console) enumerateService() string {
	answer := c.ask(service, soap.NS_ENUM+"/Enumerate", "", soap.DOM_NS_ENUM, "Enumerate")
	return c.ask(service, soap.NS_ENUM+"/Pull", "", soap.DOM_NS_ENUM, "Pull",
		argument{"EnumerationContext", text(answer, "EnumerationContext")})
}

func (c *console) poll(id string) string {
	for {
		state, problem := strconv.Atoi(text(c.ask(job, get, id, ofJob, ""), "JobState"))
		must(problem)
		if state >= 7 {
			return strconv.Itoa(state)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func (c *console) awaitEnd(id string) string {
	seconds, _ := strconv.Atoi(os.Getenv("AMTU_FORGOTTEN_WITHIN"))
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		answer := c.ask(job, get, id, ofJob, "")
		if strings.Contains(answer, "Fault>") {
			return last(texts(answer, "Value")) + " " + last(strings.Split(text(answer, "FaultDetail"), "/"))
		}
	}
	return "it is still there"
}

func main() {
	c := connect()
	tell("product", text(c.identify(), "ProductVendor"))
	tell("service", text(c.enumerateService(), "CreationClassName"))
	tell("maximum", text(c.ask(service, get, "", ofService, ""), "MaxSystemsPerRequest"))
	systems := []argument{}
	for _, name := range strings.Fields(os.Getenv("AMTU_SYSTEMS")) {
		systems = append(systems, argument{"systems", name})
	}
	id := text(c.ask(service, service+"/UnlockSystems", "", ofService, "UnlockSystems_INPUT", systems...), "Selector")
	tell("job", id)
	tell("state", c.poll(id))
	done := c.ask(service, service+"/GetUnlockedSystems", "", ofService, "GetUnlockedSystems_INPUT", argument{"InstanceID", id})
	tell("unlocked", text(done, "unlockedSystems"))
	tell("failed", text(done, "failedSystems"))
	errors := c.ask(job, job+"/GetErrors", id, ofJob, "GetErrors_INPUT")
	tell("error", text(errors, "ErrorSource"), last(texts(errors, "MessageID")))
	tell("gone", c.awaitEnd(id))
}

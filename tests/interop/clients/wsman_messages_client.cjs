// SPDX-License-Identifier: Apache-2.0
// The course of a console with the envelopes of Intel's wsman-messages, which count their MessageIDs 0, 1, 2 and ask
// for no particular envelope size. curl carries them: Node itself knows no Kerberos.
'use strict'

const { execFileSync } = require('node:child_process')
const { WSManMessageCreator, BaseActions } = require('@open-amt-cloud-toolkit/wsman-messages/WSMan.js')

const SERVICE = 'AMT_RemoteEncryptionService'
const JOB = 'CIM_ConcreteJob'
const { AMTU_URL, AMTU_CA, AMTU_SYSTEMS, AMTU_FORGOTTEN_WITHIN } = process.env
const makers = {
  [SERVICE]: new WSManMessageCreator('http://intel.com/wbem/wscim/1/amt-schema/1/'),
  [JOB]: new WSManMessageCreator('http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/')
}

function post (envelope) {
  return execFileSync('curl', ['-sS', '--negotiate', '-u', ':', '--cacert', AMTU_CA, '-H',
    'Content-Type: application/soap+xml; charset=UTF-8', '--data-binary', '@-', AMTU_URL], { input: envelope, encoding: 'utf8' })
}

function ask (className, action, body, job) {
  const maker = makers[className]
  const header = maker.createHeader(action, className, job ? { name: 'InstanceID', value: job } : null)
  return post(maker.createXml(header, body))
}

function call (className, method, data, job) {
  const maker = makers[className]
  return ask(className, `${maker.resourceUriBase}${className}/${method}`, maker.createBody(`${method}_INPUT`, className, data), job)
}

// What each element of this name holds
const texts = (answer, name) =>
  [...answer.matchAll(new RegExp(`<(?:\\w+:)?${name}(?: [^>]*)?>([^<]*)<`, 'g'))].map((found) => found[1])
const text = (answer, name) => texts(answer, name).join(' ')
const tell = (name, ...values) => console.log(`${name}\t${values.join(' ')}`)
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

async function poll (job) {
  for (;;) {
    const state = text(ask(JOB, BaseActions.GET, makers[JOB].createCommonBody.Get(), job), 'JobState')
    if (!(state < 7)) return state
    await pause(500)
  }
}

async function awaitEnd (job) {
  for (let left = AMTU_FORGOTTEN_WITHIN; left > 0; left--) {
    const answer = ask(JOB, BaseActions.GET, makers[JOB].createCommonBody.Get(), job)
    if (answer.includes('Fault>')) return `${texts(answer, 'Value').pop()} ${text(answer, 'FaultDetail').split('/').pop()}`
    await pause(1000)
  }
  return 'it is still there'
}

async function main () {
  const { createCommonBody } = makers[SERVICE]
  const context = text(ask(SERVICE, BaseActions.ENUMERATE, createCommonBody.Enumerate()), 'EnumerationContext')
  tell('service', text(ask(SERVICE, BaseActions.PULL, createCommonBody.Pull(context)), 'CreationClassName'))
  tell('maximum', text(ask(SERVICE, BaseActions.GET, createCommonBody.Get()), 'MaxSystemsPerRequest'))
  const systems = AMTU_SYSTEMS.split(' ').map((name) => ({ systems: name }))
  const job = text(call(SERVICE, 'UnlockSystems', systems), 'Selector')
  tell('job', job)
  tell('state', await poll(job))
  const done = call(SERVICE, 'GetUnlockedSystems', { InstanceID: job })
  tell('unlocked', text(done, 'unlockedSystems'))
  tell('failed', text(done, 'failedSystems'))
  const errors = call(JOB, 'GetErrors', [], job)
  tell('error', text(errors, 'ErrorSource'), texts(errors, 'MessageID').pop())
  tell('gone', await awaitEnd(job))
}

main()

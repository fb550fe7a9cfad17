import { expect, test } from 'vitest'
import { hostOfBusUrl } from '../../../src/core/model/bus-user.ts'

test.each([
  ['amqp://host.h1:secret@bus:5672/nova', 'h1'],
  ['amqps://host.h1.example:secret@a,amqps://host.h1.example:secret@b', 'h1.example'],
  ['amqp+unix://host%2Eh1:secret@/run/bus.sock', 'h1'],
  ['amqp://nova:host.h1@bus', undefined],
  ['amqp://bus', undefined],
  ['', undefined],
])('the login of %s is that of host %s', (url, host) => {
  expect(hostOfBusUrl(url)).toBe(host)
})

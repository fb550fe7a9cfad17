/**
 * QEMU on a KVM that fails, played as far as anybody looks at it: `failing-kvm-machine.mjs END ARGUMENT…`. It
 * answers on its QMP socket, and after a moment says what QEMU says when KVM cannot emulate an instruction; then
 * its machine stands still in `internal-error` until it is killed, as a real one does, or it ends.
 */
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'

const failsAfterMs = 300
const [end, ...args] = process.argv.slice(2)
const error = `KVM internal error. Suberror: 1
extra data[0]: 0x0000000000000001
emulation failure
RAX=0000000000000000 RBX=0000000000000007 RCX=0000000000000000 RDX=0000000000000000
Code=e1 0d 73 1e bd 00 50 00 00 31 c0 31 d2 <f0> 48 0f c7 4d 20 75 79
`
if (end === 'does not start') {
  process.stderr.write('2026-01-01T00:00:00.000000Z qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n')
  process.exit(134)
}

let status = 'running'
const socket = /path=([^,]+)/.exec(args.find((arg) => arg.startsWith('socket,id=qmp0')) ?? '')?.[1] ?? ''
rmSync(socket, { force: true })
/** @type {Set<(message: object) => void>} */
const listeners = new Set()
createServer(async (client) => {
  const say = (/** @type {object} */ message) => client.write(`${JSON.stringify(message)}\r\n`)
  listeners.add(say)
  client.on('close', () => listeners.delete(say)).on('error', () => undefined)
  say({ QMP: { version: { qemu: { major: 7, minor: 2, micro: 0 } }, capabilities: [] } })
  for await (const line of createInterface(client)) {
    const { execute, id } = JSON.parse(line)
    say({ id, return: execute === 'query-status' ? { status, running: status === 'running' } : {} })
  }
}).listen(socket)

setTimeout(() => {
  if (end === 'never') return
  process.stderr.write(error)
  if (end === 'ends') process.exit(1)
  status = 'internal-error'
  for (const say of listeners) say({ event: 'STOP', timestamp: { seconds: 0, microseconds: 0 } })
}, failsAfterMs)

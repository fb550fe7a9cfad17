import { connect } from 'amqplib'
import { fork } from 'node:child_process'
import { once } from 'node:events'
const url = process.argv[2]!, role = process.argv[3], opts = JSON.parse(process.argv[4] ?? '{}'), flight = Number(process.argv[5] ?? 1)
const size = opts.size ?? 1100
const rk = 'try'
if (role === 'server') {
  const c = await connect(url, { noDelay: true }); const ch = await c.createChannel(); const out = opts.sep ? await c.createChannel() : ch
  await ch.assertExchange('nova','topic',{durable:false})
  await ch.assertQueue(rk, { durable: false, autoDelete: true }); await ch.bindQueue(rk,'nova',rk)
  await ch.prefetch(64)
  await ch.consume(rk, (m) => { if (!m) return; out.publish('', m.properties.replyTo, m.content, { correlationId: m.properties.correlationId, mandatory: !!opts.mand, ...(opts.props?{contentType:'application/json',contentEncoding:'utf-8',deliveryMode:2,priority:0}:{}) }); ch.ack(m) })
  process.send!('x')
} else if (role === 'client') {
  const c = await connect(url, { noDelay: true }); const ch = await c.createChannel()
  const { queue } = await ch.assertQueue('', { exclusive: !opts.nonex, durable:false, ...(opts.nonex?{expires:1800000}:{}) })
  const w = new Map<string, any>(); let n = 0; let last:any
  await ch.consume(queue, (m) => { if (!m) return; w.get(m.properties.correlationId)(); w.delete(m.properties.correlationId); if (opts.rack) { const s=last; last=m; if(!s) queueMicrotask(()=>{const l=last;last=undefined;ch.ack(l,true)}) } }, { noAck: !opts.rack })
  const body = Buffer.alloc(size, 97)
  const ask = () => new Promise((r) => { const id = String(n++); w.set(id, r); ch.publish(opts.topic ? 'nova' : '', rk, body, { replyTo: queue, correlationId: id, mandatory: !!opts.mand, ...(opts.exp ? { expiration: '60000' } : {}), ...(opts.props?{contentType:'application/json',contentEncoding:'utf-8',deliveryMode:2,priority:0}:{}) }) })
  const run = async (ms: number) => { const end = performance.now() + ms; let k = 0; await Promise.all(Array.from({ length: flight }, async () => { while (performance.now() < end) { await ask(); k++ } })); return k }
  await run(500); const b = performance.now(); const k = await run(1500)
  process.send!(k * 1000 / (performance.now() - b))
} else {
  const variants: Record<string, any> = { base: {}, size2300: { size: 2300 }, size1900:{size:1900}, rack: { rack: 1 }, mand: { mand: 1 }, topic: { topic: 1 }, exp: { exp: 1 }, props:{props:1}, sep: {sep:1}, nonex:{nonex:1}, all: { size: 2300, rack: 1, mand: 1, topic: 1, exp: 1, props:1,sep:1,nonex:1 } }
  const res: Record<string, number[]> = {}
  for (let i = 0; i < 3; i++) for (const [k, o] of Object.entries(variants)) {
    const s = fork(import.meta.filename, [url, 'server', JSON.stringify(o)], { execArgv: process.execArgv }); await once(s, 'message')
    const c = fork(import.meta.filename, [url, 'client', JSON.stringify(o), String(role ?? 1)], { execArgv: process.execArgv }); const [r] = await once(c, 'message')
    ;(res[k] ??= []).push(Math.round(r as number)); c.kill(); s.kill(); await Promise.all([once(c,'exit'),once(s,'exit')])
  }
  for (const [k, v] of Object.entries(res)) console.log(k.padEnd(10), v.sort((a, b) => a - b)[1], v.join(' '))
}

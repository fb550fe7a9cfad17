import { spawnSync } from 'node:child_process'
import { startStandIn, webSummary, cleanEnv } from './stand-in.ts'
import { fork } from 'node:child_process'
if (process.argv[2] === 'serve') {
  const s = await startStandIn({ instanceList: async () => ({ instances: [webSummary, {...webSummary, task: 'pausing'}] }) })
  process.send!(s.url)
  process.on('disconnect', () => process.exit(0))
} else {
  const child = fork('/work/main/test/cli/.timing.ts', ['serve'], { execArgv: ['--import', '/work/main/node_modules/tsx/dist/loader.mjs'] })
  child.on('message', (url) => {
    const env = cleanEnv({ NOVA_BUS_URL: String(url), NOVA_CONFIG: '/dev/null' })
    const sets: Record<string, string[]> = { bare: ['-e', '0'], version: ['/work/main/bin/run.js', '--version'], list: ['/work/main/bin/run.js', 'list'], json: ['/work/main/bin/run.js', 'list', '-f', 'json'], bus: ['/work/main/dist/probe-bus.mjs'] }
    const got: Record<string, {wall: number[], cpu: number[]}> = Object.fromEntries(Object.keys(sets).map((k) => [k, {wall: [], cpu: []}]))
    for (let i = 0; i < 25; i++) for (const [k, args] of Object.entries(sets)) {
      const s = process.hrtime.bigint()
      const r = spawnSync('/usr/bin/time', ['-f', '%U %S', 'node', ...args], { env })
      got[k]!.wall.push(Number(process.hrtime.bigint() - s) / 1e6)
      got[k]!.cpu.push(String(r.stderr).trim().split('\n').at(-1)!.split(' ').reduce((a, b) => a + Number(b) * 1000, 0))
    }
    const mid = (x: number[]) => x.sort((a, b) => a - b)[Math.floor(x.length / 2)]!
    for (const [k, { wall, cpu }] of Object.entries(got)) console.log(k.padEnd(8), 'wall', mid(wall).toFixed(0), 'x', (mid(wall) / mid(got.bare!.wall)).toFixed(2), 'cpu', mid(cpu).toFixed(0), 'x', (mid(cpu) / mid(got.bare!.cpu)).toFixed(2), 'min', Math.min(...wall).toFixed(0))
    child.disconnect()
  })
}

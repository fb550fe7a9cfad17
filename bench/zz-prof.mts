import { fork } from 'node:child_process'
import { once } from 'node:events'
const url = process.argv[2]!, flight = process.argv[3]!, kind = process.argv[4] ?? 'ours'
const ex = [...process.execArgv, '--cpu-prof', '--cpu-prof-dir=/tmp/rpcx']
const f = new URL('./rpc.ts', import.meta.url).pathname
const s = fork(f, ['--role','server','--kind',kind,'--url',url], { execArgv: [...ex, '--cpu-prof-name=server.cpuprofile'] }); await once(s,'message')
const c = fork(f, ['--role','client','--kind',kind,'--url',url,'--flight',flight,'--seconds','4'], { execArgv: [...ex, '--cpu-prof-name=client.cpuprofile'] }); const [r] = await once(c,'message'); console.log(r)
s.kill('SIGINT'); c.kill('SIGINT')

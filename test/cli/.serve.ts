import { startStandIn, webSummary } from './stand-in.ts'
import {writeFileSync} from 'node:fs'
const s = await startStandIn({ instanceList: async () => ({ instances: [webSummary, {...webSummary, task: 'pausing'}] }) })
writeFileSync('/tmp/standin.url', s.url)
setTimeout(()=>process.exit(0), 1800_000)

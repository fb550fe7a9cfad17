import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Cloud } from '../test/kit/cloud.ts'

/**
 * The cost of a command compared with bare node, in the same run: wall and CPU time of `nova list` and `nova --version`
 * against `node -e 0`; and the cost of `nova up`: time until it returns, memory of all its processes. `npx tsx
 * bench/shell.ts`.
 */
const program = resolve(import.meta.dirname, '../bin/run.js')
const rounds = 15

type Cost = { wallMs: number; cpuMs: number }
const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

/** `time -f` of the shell's kind: user and system CPU of the child, from the kernel. */
function once(args: string[], env: Record<string, string>): Cost {
  const from = performance.now()
  const ran = spawnSync(
    'bash',
    ['-c', 'TIMEFORMAT="%U %S"; time "$@" >/dev/null 2>/dev/null', 'bash', process.execPath, ...args],
    {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    },
  )
  const wallMs = performance.now() - from
  const [user = 0, system = 0] = ran.stderr.trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
  return { wallMs, cpuMs: (user + system) * 1000 }
}

function cost(args: string[], env: Record<string, string>): Cost {
  once(args, env)
  const runs = Array.from({ length: rounds }, () => once(args, env))
  return { wallMs: median(runs.map((run) => run.wallMs)), cpuMs: median(runs.map((run) => run.cpuMs)) }
}

/** Resident memory of a process and all below it, in MiB. */
function memoryMb(pid: number): number {
  const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return rss + children.reduce((sum, child) => sum + memoryMb(Number(child)), 0)
}

const cloud = await Cloud.open('embedded')
try {
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const from = performance.now()
    await cloud.up('--driver', 'fake')
    times.push(performance.now() - from)
    if (i < 2) await cloud.nova('down')
  }
  const pid = Number(readFileSync(`${cloud.stateDir}/run/nova.pid`, 'utf8').split(' ')[0])
  const bare = cost(['-e', '0'], {})
  const rows = {
    'nova --version': cost([program, '--version'], cloud.env),
    'nova list': cost([program, 'list'], cloud.env),
  }
  console.log(
    `nova up: ready after ${(median(times) / 1000).toFixed(2)} s; ${memoryMb(pid).toFixed(0)} MiB resident (supervisor and cloud)`,
  )
  console.log(`node -e 0: ${bare.wallMs.toFixed(0)} ms wall, ${bare.cpuMs.toFixed(0)} ms CPU`)
  for (const [name, { wallMs, cpuMs }] of Object.entries(rows))
    console.log(
      `${name}: ${wallMs.toFixed(0)} ms wall (×${(wallMs / bare.wallMs).toFixed(2)}), ${cpuMs.toFixed(0)} ms CPU (×${(cpuMs / bare.cpuMs).toFixed(2)})`,
    )
} finally {
  await cloud.close()
}

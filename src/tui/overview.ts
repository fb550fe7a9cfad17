import type { Host } from '../core/contracts/shapes.ts'
import { healthOf } from '../core/model/health.ts'
import { instanceStates } from '../core/model/instance.ts'
import { isOpen } from '../core/model/operation.ts'
import type { Health } from './feed.ts'
import { type CloudModel, countStates, sumHosts } from './model.ts'
import { bar, cell, type Paint, since, toneOf, wrap } from './paint.ts'
import { outage, problemsOf } from './problems.ts'

type Room = { readonly width: number; readonly height: number; readonly now: number; readonly paint: Paint }

/** The cloud on one page. Every line fits into the width; there are at most `height` lines. */
export function overviewLines(world: CloudModel, health: Health, room: Room): string[] {
  const head = [...healthLines(world, health, room), '', ...countLines(world, room), '']
  const left = room.height - head.length
  const wrong = problemLines(world, health, room)
  // Both lists are shown: problems get what hosts leave, and at least half of the room.
  const hostRoom = Math.max(Math.ceil(left / 2), left - wrong.length - 1)
  const hosts = hostLines(world, { ...room, height: hostRoom })
  const lines = [...head, ...hosts, '', ...wrong]
  return lines.slice(0, Math.max(room.height, 1))
}

const label = (text: string): string => cell(text, 12)

function healthLines({ status, daemons, hosts }: CloudModel, health: Health, { paint, width, now }: Room): string[] {
  const well = (isWell: boolean, yes = 'up', no = 'down') => paint(isWell ? 'good' : 'bad', isWell ? yes : no)
  const answers = health.bus && !health.conductor
  const database = status ? `${status.database.dialect} ${status.database.version}` : 'unknown'
  const counted = Object.entries(daemons).map(([binary, { up, degraded, down }]) => {
    const all = up + degraded + down
    return `${binary} ${paint(up === all ? 'good' : 'bad', `${up}/${all}`)}`
  })
  const version = cell(status ? `nova ${status.version}, ${database}` : 'nova', Math.max(width - 44, 1)).trimEnd()
  return [
    `${label('health')}bus ${well(health.bus, 'up', 'lost')}, conductor ${well(answers)}; ${paint('faint', version)}`,
    `${label('services')}${counted.join(', ') || 'none reported'}`,
    `${label('hosts')}${areHidden({ hosts, daemons }) ? hidden : hostCounts(hosts)}${answers ? '' : paint('bad', `   as of ${since(now - health.lastPongAt)} ago`)}`,
  ]
}

const hidden = 'visible to administrators'
/** Compute services exist but no hosts: a conductor shows hosts to administrators only. */
const areHidden = ({ hosts, daemons }: Pick<CloudModel, 'hosts' | 'daemons'>): boolean =>
  hosts.length === 0 && daemons.compute !== undefined

function hostCounts(hosts: readonly Host[]): string {
  const are = (health: string): number => hosts.filter((host) => healthOf(host) === health).length
  const disabled = hosts.filter(({ status }) => status === 'disabled').length
  const degraded = are('degraded')
  return `${are('up')} up, ${degraded > 0 ? `${degraded} degraded, ` : ''}${are('down')} down, ${disabled} disabled`
}

function countLines(world: CloudModel, { paint }: Room): string[] {
  const counts = countStates(world)
  const states = instanceStates
    .filter((state) => counts[state])
    .map((state) => `${counts[state]} ${paint(toneOf(state), state)}`)
  const open = [...world.operations.values()].filter(({ state }) => isOpen(state))
  const running = open.filter(({ state }) => state === 'running').length
  return [
    `${label('instances')}${[`${world.instances.size} in total`, ...states].join(', ')}`,
    `${label('operations')}${running} running, ${open.length - running} queued, ${world.failed} failed`,
  ]
}

/** "degraded". */
const stateWidth = 8
const nameWidth = (width: number): number => Math.min(24, Math.max(10, Math.floor(width / 5)))

function hostLines({ hosts, daemons }: CloudModel, { width, height, paint }: Room): string[] {
  const name = nameWidth(width)
  const each = Math.max(8, Math.floor((width - name - stateWidth - 2) / 3) - 1)
  const row = (host: Pick<Host, 'used' | 'limit'>) =>
    (['vcpus', 'memoryMb', 'diskGb'] as const).map((key) => bar(host.used[key], host.limit[key], each, paint)).join(' ')
  const heading = `${cell('HOST', name)} ${cell('', stateWidth)} ${['CPU', 'MEMORY', 'DISK'].map((text) => cell(text, each)).join(' ')}`
  if (areHidden({ hosts, daemons })) return []
  if (hosts.length === 0) return [paint('strong', heading), 'No host has reported yet. Start one: nova daemon compute']
  const lines = [
    paint('strong', heading.slice(0, width)),
    `${cell('all', name)} ${cell('', stateWidth)} ${row(sumHosts(hosts))}`,
  ]
  const room = Math.max(0, height - lines.length)
  // The busiest hosts need a look, and hosts that are down.
  const shown = hosts.length <= room ? hosts : [...hosts].sort(byNeed).slice(0, Math.max(0, room - 1))
  for (const host of shown)
    lines.push(
      `${cell(host.name, name)} ${paint(toneOf(healthOf(host)), cell(healthOf(host), stateWidth))} ${row(host)}`,
    )
  if (shown.length < hosts.length && room > 0)
    lines.push(paint('faint', `${hosts.length - shown.length} more, less loaded (:hosts)`))
  return lines
}

const load = ({ used, limit, ...host }: Host): number =>
  healthOf(host) !== 'up' ? 2 : Math.max(used.vcpus / (limit.vcpus || 1), used.memoryMb / (limit.memoryMb || 1))
const byNeed = (a: Host, b: Host): number => load(b) - load(a)

function problemLines(world: CloudModel, health: Health, { width, now, paint }: Room): string[] {
  const lost = outage(health)
  const problems = [...(lost ? [lost] : []), ...problemsOf(world, health, now)]
  if (problems.length === 0) return [paint('good', 'No problems.')]
  const lines = problems.flatMap(({ text, hint }) => [
    ...wrap(text, width - 2).map((line, i) => `${i === 0 ? paint('bad', '!') : ' '} ${line}`),
    ...(hint ? wrap(hint, width - 4).map((line) => `    ${line}`) : []),
  ])
  return [paint('strong', `PROBLEMS (${problems.length})`), ...lines]
}

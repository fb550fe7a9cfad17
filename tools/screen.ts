import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import stringWidth from 'string-width'
import { admin, Cloud } from '../test/kit/cloud.ts'
import { Tmux } from '../test/kit/tmux.ts'

/**
 * Draws docs/dashboard.svg: a cloud of simulated hosts, the real dashboard in a real terminal, and a picture of its
 * screen. `npx tsx tools/screen.ts [--keys "2 j j"] [--out FILE]`; keys have tmux's names.
 */
const { values } = parseArgs({
  options: { keys: { type: 'string', default: '' }, out: { type: 'string', default: 'docs/dashboard.svg' } },
})
const root = resolve(import.meta.dirname, '..')
const [columns, rows] = [100, 28]

const cloud = await Cloud.open('embedded', {
  NOVA_COMPUTE_HOST: 'rack1',
  NOVA_FAKE_VCPUS: '4',
  NOVA_FAKE_MEMORY_MB: '2048',
  NOVA_FAKE_DISK_GB: '16',
  NOVA_LOG_LEVEL: 'warn',
})
let tmux: Tmux | undefined
try {
  await cloud.up('--driver', 'fake', '--hosts', '4')
  const must = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await cloud.nova(...args)
    if (code !== 0) throw new Error(`nova ${args.join(' ')}: ${stderr}`)
  }
  for (const name of ['web1', 'web2', 'web3', 'db1', 'db2', 'cache', 'queue', 'build'])
    await must('boot', name, '--wait')
  await must('pause', 'queue', '--wait')
  await must('stop', 'build', '--wait')
  await must('service', 'disable', 'rack1-4', '--reason', 'new memory')
  await must('flavor', 'create', 'huge', '--vcpus', '999', '--memory', '1G', '--disk', '1')
  // No host has room for this one: something to show among the problems.
  await (await cloud.conductor()).boot(admin(), { name: 'big', flavor: 'huge' })
  tmux = await Tmux.open(`${process.execPath} ${join(root, 'bin', 'run.js')} dashboard`, {
    env: cloud.env,
    columns,
    rows,
  })
  await tmux.until(/1 ERROR[\s\S]*1-5 view/)
  for (const key of values.keys.split(' ').filter(Boolean)) await tmux.keys(key)
  await new Promise((done) => setTimeout(done, 500))
  writeFileSync(resolve(root, values.out), svg(await tmux.screen(true)))
} finally {
  await tmux?.close()
  await cloud.close()
}

type Looks = { colour: string | undefined; strong: boolean; faint: boolean; turned: boolean }

/** A screen with its escape sequences as a picture. */
function svg(screen: string): string {
  const [cell, line, edge] = [8.4, 18, 12]
  const [page, ink] = ['#1c1f26', '#d7dae0']
  const colours: Readonly<Record<string, string>> = { 31: '#f07178', 32: '#8fc379', 35: '#c792ea' }
  const parts: string[] = []
  const looks: Looks = { colour: undefined, strong: false, faint: false, turned: false }
  const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

  screen
    .split('\n')
    .slice(0, rows)
    .forEach((text, row) => {
      let x = 0
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what stands before and after changes of looks.
      for (const piece of text.split(/(\u001b\[[0-9;]*m)/)) {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: a change of looks.
        const codes = /^\u001b\[([0-9;]*)m$/.exec(piece)?.[1]
        if (codes !== undefined) {
          for (const code of (codes || '0').split(';')) change(looks, code, colours)
          continue
        }
        if (piece === '') continue
        const width = stringWidth(piece)
        const [left, top] = [edge + x * cell, edge + row * line]
        const colour = looks.colour ?? ink
        if (looks.turned)
          parts.push(
            `<rect x="${left.toFixed(1)}" y="${top}" width="${(width * cell).toFixed(1)}" height="${line}" fill="${colour}"/>`,
          )
        if (piece.trim() !== '')
          parts.push(
            `<text x="${left.toFixed(1)}" y="${top + 13}" textLength="${(width * cell).toFixed(1)}" fill="${looks.turned ? page : colour}"${looks.strong ? ' font-weight="bold"' : ''}${looks.faint ? ' opacity="0.7"' : ''}>${escaped(piece)}</text>`,
          )
        x += width
      }
    })
  const [width, height] = [Math.ceil(columns * cell + 2 * edge), rows * line + 2 * edge]
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">`,
    '<title>The overview of nova dashboard</title>',
    `<rect width="100%" height="100%" rx="8" fill="${page}"/>`,
    `<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" xml:space="preserve">`,
    ...parts,
    '</g></svg>\n',
  ].join('\n')
}

function change(looks: Looks, code: string, colours: Readonly<Record<string, string>>): void {
  if (code === '0') Object.assign(looks, { colour: undefined, strong: false, faint: false, turned: false })
  else if (code === '1') looks.strong = true
  else if (code === '2') looks.faint = true
  else if (code === '7') looks.turned = true
  else if (code === '22') looks.strong = looks.faint = false
  else if (code === '27') looks.turned = false
  else if (code === '39') looks.colour = undefined
  else if (colours[code]) looks.colour = colours[code]
}

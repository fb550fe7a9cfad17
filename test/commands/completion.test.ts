import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nova } from '../cli/stand-in.ts'

const run = promisify(execFile)
const scratch = mkdtempSync(join(tmpdir(), 'nova-completion-'))
const scripts: Record<string, string> = {}
beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await nova(['completion', shell], { NOVA_CONFIG: '/dev/null' })
    expect(code).toBe(0)
    scripts[shell] = stdout
    writeFileSync(join(scratch, shell), stdout)
  }
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** Presses Tab in bash after these words, the last of which may be begun or empty; `nova` answers with two names. */
async function tab(...words: string[]): Promise<string[]> {
  const script = `source ${scratch}/bash
nova() { echo "asked: $*" >> ${scratch}/asked; echo web; echo 'db one'; }
COMP_WORDS=(nova "$@"); COMP_CWORD=$#; _nova; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = await run('bash', ['-c', script, 'bash', ...words], { cwd: scratch })
  return stdout.split('\n').filter(Boolean)
}

describe('in bash', () => {
  test('commands and their second words', async () => {
    expect(await tab('')).toEqual(expect.arrayContaining(['boot', 'list', 'flavor', 'operation', 'up']))
    expect(await tab('')).not.toContain('flavor-list')
    expect(await tab('fl')).toEqual(['flavor'])
    expect(await tab('flavor', '')).toEqual(['create', 'delete', 'list', 'show'])
    expect(await tab('--debug', 'flavor', 's')).toEqual(['show'])
  })
  test('flags and the values that they may have', async () => {
    expect(await tab('list', '--st')).toEqual(['--status'])
    expect(await tab('list', '--status', 'A')).toEqual(['ACTIVE'])
    expect(await tab('list', '-f', '')).toEqual(['table', 'json', 'yaml', 'csv', 'value'])
    expect(await tab('flavor', 'list', '-c', 'mem')).toEqual(['memory_mb'])
    expect(await tab('completion', '')).toEqual(['bash', 'zsh', 'fish'])
  })
  test('names, as the cloud has them at that moment', async () => {
    expect(await tab('pause', '')).toEqual(['web', 'db\\ one'])
    expect(await tab('pause', 'web', 'd')).toEqual(['db\\ one'])
    expect(await tab('boot', 'new', '--image', 'w')).toEqual(['web'])
  })
  test('files where a file is meant', async () => {
    expect(await tab('image', 'create', 'x', '--disk', 'fi')).toEqual(['fish'])
  })
  test('nothing where anything may stand', async () => {
    expect(await tab('boot', 'web', '--description', '')).toEqual([])
  })
})

test('every shell gets every command', () => {
  for (const script of Object.values(scripts))
    for (const word of ['console-log', 'operation', '--debug', 'memory_mb'])
      expect(script).toContain(script === scripts.fish ? word.replace('--debug', '-l debug') : word)
})

import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { exec, launch, ownEnv } from '../../../src/core/base/exec.ts'

const printEnv = ['-e', 'console.log(JSON.stringify(process.env))']

test('a program gets the path and a locale of our environment, and nothing else', async () => {
  process.env.NOVA_DATABASE_URL = 'mysql://nova:secret@db/nova'
  onTestFinished(() => void delete process.env.NOVA_DATABASE_URL)
  const bare = { PATH: process.env.PATH, LANG: 'C.UTF-8' }
  expect(JSON.parse((await exec(process.execPath, printEnv)).stdout)).toEqual(bare)
  const child = await launch(process.execPath, printEnv, { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout?.on('data', (chunk) => {
    printed += chunk
  })
  await once(child, 'close')
  expect(JSON.parse(printed)).toEqual(bare)
  expect(JSON.parse((await exec(process.execPath, printEnv, { env: ownEnv() })).stdout)).toMatchObject({
    NOVA_DATABASE_URL: 'mysql://nova:secret@db/nova',
  })
})

test('an end says nothing of itself unless something is wrong with it', async () => {
  const quiet = (script: string) => exec(process.execPath, ['-e', script])
  expect(await quiet('')).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(await quiet('process.exit(3)')).toEqual({ code: 3, stdout: '', stderr: 'it ended with code 3' })
  expect(await quiet("process.kill(process.pid, 'SIGTERM')")).toMatchObject({ code: 143 })
  expect(await exec('/nonexistent/program', [])).toMatchObject({ code: 127 })
})

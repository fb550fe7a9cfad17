import { createHash } from 'node:crypto'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isFailure } from '../core/base/errors.ts'
import { exec, ownEnv } from '../core/base/exec.ts'
import type { Config } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'
import type { conductor } from '../core/contracts/conductor.ts'
import { pageIn, readList } from '../core/contracts/pages.ts'
import { type Image, type ImagePart, imageParts } from '../core/contracts/shapes.ts'
import type { Args, Result } from '../core/rpc/contract.ts'
import { measure, upload } from './upload.ts'

type Cloud = typeof conductor
type Ask = <K extends keyof Cloud['methods']>(method: K, args: Args<Cloud, K>) => Promise<Result<Cloud, K>>

/** The name of the built-in image. */
const builtinImage = 'tiny'
/** The image for simulated guests of the fake driver: an empty disk. */
const blankBytes = 65_536

/** Whether there is an image to boot from, and a remark for people if it was made just now. */
type Ensured = { hasImage: boolean; remark?: string }

/**
 * Makes sure that a cloud has an image to boot from: a guest built from Debian packages on QEMU hosts, an empty disk on
 * simulated ones. If the guest cannot be built here, that is reported but is no failure: the cloud runs without it.
 */
export async function ensureBuiltinImage(
  root: string,
  config: Config,
  { ask, note, signal }: { ask: Ask; note: (text: string) => void; signal: AbortSignal },
): Promise<Ensured> {
  const images = await readList(
    async (asked) => pageIn(await ask('imageList', asked), 'images'),
    ({ id }) => id,
  )
  const blankOne = images.find((image) => image.name === builtinImage && isBlank(image))
  if (!blankOne && images.some((image) => image.status === 'active')) return { hasImage: true }
  const hosts = await readList(
    async (asked) => pageIn(await ask('hostList', asked), 'hosts'),
    ({ name }) => name,
  )
  const simulated = hosts.every((host) => host.driver === 'fake')
  if (blankOne && simulated) return { hasImage: true }
  const files = simulated ? blank(config) : await buildGuest(root, config, note, signal)
  if (!files) return { hasImage: false }
  // Made while the hosts were simulated: no guest runs from an empty disk.
  if (blankOne) await ask('imageDelete', { image: blankOne.id })

  const sources = await Promise.all(
    imageParts.flatMap((part) => (files[part] === undefined ? [] : [measure(part, files[part], () => undefined)])),
  )
  const created = await ask('imageCreate', {
    name: builtinImage,
    ...(files.disk === undefined ? {} : { diskFormat: 'raw' as const }),
    files: Object.fromEntries(sources.map((source) => [source.part, source.file])),
    minMemoryMb: simulated ? 0 : 96,
    visibility: 'public',
  }).catch((e: unknown) => {
    // Another `nova up` created it at the same time.
    if (isFailure(e, 'ImageExists')) return undefined
    throw e
  })
  if (!created) return { hasImage: true }
  const { image, missing } = created
  for (const source of sources.filter(({ part }) => missing.includes(part)))
    await upload(
      source,
      (piece) => ask('imageWrite', { image: image.id, ...piece }),
      () => undefined,
    )
  const what = simulated ? 'an empty disk: the fake driver runs nothing' : 'a small Linux with a shell on its console'
  return { hasImage: true, remark: `${builtinImage} (${what})` }
}

const isBlank = ({ files }: Image): boolean =>
  files.kernel === undefined &&
  files.disk?.sha256 === createHash('sha256').update(Buffer.alloc(blankBytes)).digest('hex')

type Files = Partial<Record<ImagePart, string>>

function blank(config: Config): Files {
  const { guest } = places(config.stateDir)
  mkdirSync(guest, { recursive: true, mode: 0o700 })
  const path = join(guest, 'blank.raw')
  // Whole or not at all: another `nova up` may read it at the same time.
  writeFileSync(`${path}.${process.pid}`, Buffer.alloc(blankBytes), { mode: 0o600 })
  renameSync(`${path}.${process.pid}`, path)
  return { disk: path }
}

async function buildGuest(
  root: string,
  config: Config,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<Files | undefined> {
  const { guest } = places(config.stateDir)
  note('Building the guest image from two Debian packages (once, about 20 s) …')
  const { code, stderr } = await exec('bash', [join(root, 'tools', 'guest', 'build.sh'), guest], {
    timeoutMs: 600_000,
    signal,
    env: ownEnv(),
  })
  signal.throwIfAborted()
  if (code === 0) return { kernel: join(guest, 'vmlinuz'), ramdisk: join(guest, 'initrd.img') }
  note(`The built-in image could not be built: ${stderr.trim().split('\n').at(-1)}`)
  return undefined
}

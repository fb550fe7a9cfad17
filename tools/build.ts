import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Plugin } from '@oclif/core'
import { build, type Plugin as EsbuildPlugin } from 'esbuild'

/**
 * Makes dist/ and oclif.manifest.json: what `bin/run.js` runs. Every command is an entry of its own and what they share is
 * split off, so that a command loads only what it needs; with the manifest none has to be loaded to find another.
 */
const root = resolve(import.meta.dirname, '..')
const dist = join(root, 'dist')

const commands = (readdirSync(join(root, 'src/commands'), { recursive: true }) as string[])
  .filter((file) => file.endsWith('.ts'))
  .map((file) => join('src/commands', file))

/** CommonJS packages in an ES module miss these three. */
const commonJs = `import{createRequire as __novaRequire}from'node:module';import{fileURLToPath as __novaPath}from'node:url';import{dirname as __novaDir}from'node:path';const require=__novaRequire(import.meta.url),__filename=__novaPath(import.meta.url),__dirname=__novaDir(__filename);`

/**
 * `import { z } from 'zod'` brings in all of zod, fifty languages of error messages included; as a namespace only what is
 * used. 12 ms of every command.
 */
const leanZod: EsbuildPlugin = {
  name: 'lean-zod',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(/^import \{ z \} from 'zod'/m, "import * as z from 'zod'"),
      loader: 'ts',
    }))
  },
}

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['src/cli/main.ts', 'src/daemons/supervisor.ts', ...commands].filter((file) => existsSync(join(root, file))),
  outdir: dist,
  outbase: 'src',
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  minify: true,
  keepNames: true,
  legalComments: 'none',
  banner: { js: commonJs },
  plugins: [leanZod],
  // Native or with files of their own beside them; none is needed by a command that asks the cloud something.
  external: ['@photostructure/sqlite', 'mysql2', 'pino', 'typescript', 'ts-node'],
  write: false,
  logLevel: 'warning',
  logOverride: { 'require-resolve-not-external': 'silent' },
})

// Only now: a build that fails leaves the last one working.
rmSync(dist, { recursive: true, force: true })
for (const { path, contents } of outputFiles) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, contents)
}

// Development mode would look for the commands' sources instead.
process.env.NODE_ENV = 'production'
rmSync(join(root, 'oclif.manifest.json'), { force: true })
const plugin = new Plugin({ root, type: 'core', ignoreManifest: true, errorOnManifestCreate: true })
await plugin.load()
writeFileSync(join(root, 'oclif.manifest.json'), `${JSON.stringify(plugin.manifest)}\n`)

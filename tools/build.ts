import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { Plugin } from '@oclif/core'
import { type BuildOptions, build, type Plugin as EsbuildPlugin } from 'esbuild'
import { exec } from '../src/core/base/exec.ts'

/**
 * Builds what `bin/run.js` runs: dist/nova.cjs, everything in one file, of which each command evaluates only what it
 * needs; dist/nova-….cache, V8's compiled code of it, for this machine only; dist/daemons/supervisor.js; dist/tui/dashboard.js; and
 * oclif.manifest.json, what help, completion and the README know of the commands. With these, `nova list` takes twice
 * the time of an empty node; without, four times.
 */
const root = resolve(import.meta.dirname, '..')
const dist = join(root, 'dist')

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  charset: 'ascii',
  keepNames: true,
  legalComments: 'none',
  // Native, or with files of their own beside them; no command that asks the conductor needs one.
  external: ['@photostructure/sqlite', 'mysql2', 'pino', 'typescript', 'ts-node'],
  // Compiled code from the cache has no loader to import with; require() takes ES modules too since 20.19.
  supported: { 'dynamic-import': false },
  write: false,
  logLevel: 'warning',
  logOverride: { 'require-resolve-not-external': 'silent' },
} as const satisfies BuildOptions

// Development mode would search for sources.
process.env.NODE_ENV = 'production'
const pjson = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
pjson.oclif.commands.target = './src/commands'
const plugin = new Plugin({
  root,
  type: 'core',
  isRoot: true,
  pjson,
  ignoreManifest: true,
  errorOnManifestCreate: true,
})
await plugin.load()
const manifest = {
  ...plugin.manifest,
  commands: Object.fromEntries(plugin.commands.map((c) => [c.id, plugin.manifest.commands[c.id]])),
}

const table = plugin.commands.map(({ id, aliases, hiddenAliases }) => {
  const file = `./src/commands/${id.replaceAll(':', '/')}.ts`
  const names = [id, ...aliases, ...hiddenAliases].map((name) => name.replaceAll(' ', ':'))
  return `{ names: ${JSON.stringify(names)}, load: async () => (await import('${file}')).default }`
})
const entry = `import { main as run } from './src/cli/main.ts'
export const main = (argv, root) => run(argv, root, [${table.join(',\n')}])`

/** What ink loads if DEV is set, to develop ink itself, is not among its dependencies. */
const withoutDevtools: EsbuildPlugin = {
  name: 'without-devtools',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^react-devtools-core$/ }, ({ path }) => ({ path, namespace: 'empty' }))
    onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export default {}' }))
  },
}

const [bundle, supervisor, tui] = await Promise.all([
  build({
    ...common,
    stdin: { contents: entry, resolveDir: root, loader: 'ts' },
    format: 'cjs',
    outfile: join(dist, 'nova.cjs'),
  }),
  build({
    ...common,
    entryPoints: ['src/daemons/supervisor.ts'],
    format: 'esm',
    outfile: join(dist, 'daemons/supervisor.js'),
  }),
  // ink waits for its layout engine while it loads: it can only be imported, so the code that needs it is a module of
  // its own.
  build({
    ...common,
    entryPoints: ['src/tui/dashboard.tsx'],
    plugins: [withoutDevtools],
    // What React and ink's libraries require of Node.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    format: 'esm',
    jsx: 'automatic',
    outfile: join(dist, 'tui/dashboard.js'),
  }),
])

// Only now: a build that fails leaves the last one working.
rmSync(dist, { recursive: true, force: true })
for (const { path, contents } of [...bundle.outputFiles, ...supervisor.outputFiles, ...tui.outputFiles]) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, contents)
}
writeFileSync(join(root, 'oclif.manifest.json'), `${JSON.stringify(manifest)}\n`)

// A command that finds no bus warms up what all commands need; the code that it has compiled then is kept.
const warmUp = `
const { exports: { main }, keepCode } = require('./bin/load.js').loadBundle(process.cwd())
main(['list'], process.cwd()).then(() => main(['--version'], process.cwd())).finally(keepCode)`
const warmed = await exec(
  'env',
  ['NOVA_BUS_URL=amqp://127.0.0.1:1', 'NOVA_CONFIG=/dev/null', process.execPath, '-e', warmUp],
  { cwd: root },
)
if (warmed.code !== 0) throw new Error(`warming up failed: ${warmed.stderr}`)

// The floors of the house. One row a room: the rooms of ours it may call on. ARCHITECTURE.md, "Floors", has the picture.
const vocabulary = ['core/contracts', 'core/rpc', 'core/config', 'core/model', 'core/base']
const withState = [...vocabulary, 'core/store', 'core/db']
const floors = {
  'core/base': [],
  'core/model': ['core/base'],
  'core/diagnosis': ['core/model', 'core/base'],
  'core/config': ['core/model', 'core/base'],
  'core/image-formats': [],
  // It could be published alone.
  'core/broker': ['core/base'],
  'core/rpc': ['core/model', 'core/base'],
  'core/db': ['core/base'],
  'core/contracts': ['core/rpc', 'core/model', 'core/base'],
  'core/auth': ['core/contracts', 'core/model', 'core/base'],
  'core/rabbitmq': ['core/contracts', 'core/rpc', 'core/model', 'core/base'],
  'core/store': ['core/db', 'core/contracts', 'core/model', 'core/base'],
  'core/notify': ['core/contracts', 'core/rpc', 'core/model', 'core/base'],
  'core/virt': ['core/image-formats', 'core/model', 'core/base'],
  // The two halves of the engine: rows and transactions here, the host's side there.
  'core/operations': withState,
  'core/agent': vocabulary,
  // What every daemon with a database does alike.
  'core/service': withState,
  // Root or database, never both: a host agent has no store and no db.
  'core/compute': [...vocabulary, 'core/agent', 'core/virt'],
  'core/scheduler': [...withState, 'core/operations', 'core/service'],
  'core/conductor': [...withState, 'core/operations', 'core/service', 'core/auth', 'core/image-formats'],
  cli: [...vocabulary, 'core/diagnosis', 'core/image-formats'],
  tui: ['cli', ...vocabulary, 'core/diagnosis'],
  daemons: ['core'],
  commands: ['cli', 'tui', 'daemons', 'core'],
}

// Faces come in by the front door; managers, actions, drivers and SQL stay at home.
const backRooms = '^src/core/(compute|agent|operations|service|scheduler|conductor|store|db|broker|rabbitmq|virt)/'
const frontDoors = '^src/core/(db/migrate|virt/qemu/probe)[.]ts$'

// Each heavy package has one home.
const homes = {
  kysely: '^src/core/(db|store)/|^migrations/',
  mysql2: '^src/core/db/',
  '@photostructure/sqlite': '^src/core/db/',
  amqplib: '^src/core/rpc/',
  '@oclif/core': '^src/(commands|cli)/',
  pino: '^src/core/base/log[.]ts$',
  ink: '^src/tui/[^/]+[.]tsx$',
  react: '^src/tui/[^/]+[.]tsx$',
  'string-width': '^src/cli/text-width[.]ts$',
}

const forbid = (name, from, to, comment = '') => ({ name, severity: 'error', comment, from, to })

export default {
  forbidden: [
    forbid(
      'no-circles',
      {},
      { circular: true },
      'Two files that need one another are one file, or miss a third one below.',
    ),
    forbid('no-missing-files', {}, { couldNotResolve: true }, 'A name that leads nowhere is free of all other rules.'),
    ...Object.entries(floors).map(([room, may]) =>
      forbid(
        `${room.replaceAll('/', '-')}-stays-on-its-floor`,
        { path: `^src/${room}/` },
        { path: '^src/', pathNot: [room, ...may].map((r) => `^src/${r}/`) },
        `src/${room} may import ${may.join(', ') || 'nothing of ours'}.`,
      ),
    ),
    forbid(
      'faces-use-front-doors',
      { path: '^src/(commands|cli|tui)/' },
      { path: backRooms, pathNot: frontDoors },
      'Ask by contract.',
    ),
    forbid(
      'commands-are-strangers',
      { path: '^src/commands/' },
      { path: '^src/commands/' },
      'What two commands share is in src/cli.',
    ),
    forbid(
      'drivers-are-strangers',
      { path: '^src/core/virt/([^/]+)/' },
      { path: '^src/core/virt/([^/]+)/', pathNot: '^src/core/virt/$1/' },
      'What two drivers share moves up to src/core/virt.',
    ),
    forbid(
      'commands-start-fast',
      { path: '^src/(commands|cli)/' },
      { path: '^src/daemons/', dependencyTypesNot: ['dynamic-import', 'type-only'] },
      'Import daemons where they are started: await import(…).',
    ),
    forbid(
      'only-the-dashboard-pays-for-ink',
      { path: '^src/', pathNot: '^src/tui/[^/]+[.]tsx$' },
      { path: '^src/tui/[^/]+[.]tsx$', dependencyTypesNot: ['type-only'] },
      'ink is in a bundle of its own, which the dashboard alone imports when it runs.',
    ),
    forbid(
      'one-door-to-processes',
      { path: '^src/', pathNot: '^src/core/base/exec[.]ts$' },
      { path: '^(node:)?child_process$' },
    ),
    ...Object.entries(homes).map(([dep, home]) =>
      forbid(
        `${dep.replaceAll(/[@/]/g, '')}-has-one-home`,
        { path: '^(src|migrations)/', pathNot: home },
        { path: `node_modules/${dep}/`, dependencyTypesNot: ['type-only'] },
      ),
    ),
    forbid(
      'hosts-never-reach-a-database',
      { path: '^src/(core/(compute|virt)/|daemons/compute[.]ts$)' },
      { path: '^src/core/(db|store)/|node_modules/(kysely|mysql2|@photostructure)/', reachable: true },
      'Root or database, never both: not through a third file either.',
    ),
    forbid(
      'migrations-are-frozen',
      { path: '^migrations/' },
      { path: '^src/' },
      'A migration must not change with the code.',
    ),
    forbid('sources-never-import-tests', { path: '^src/' }, { path: '^test/' }),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}

/**
 * Words of OpenStack's clients, docker, libvirt, Incus and shells: the command of ours or, if there is none, one sentence.
 * Keys are the first words that were typed; the longest match counts.
 */
const commands: Readonly<Record<string, string>> = {
  'server list': 'list',
  'server show': 'show NAME',
  'server create': 'boot NAME',
  'server delete': 'delete NAME',
  'server start': 'start NAME',
  'server stop': 'stop NAME',
  'server reboot': 'reboot NAME',
  'server pause': 'pause NAME',
  'server unpause': 'unpause NAME',
  'server suspend': 'suspend NAME',
  'server resume': 'resume NAME',
  'server migrate': 'migrate NAME',
  'server set': 'rename NAME NEW-NAME',
  'server event list': 'event list',
  'console log show': 'console-log NAME',
  'hypervisor list': 'host list',
  'hypervisor show': 'host show HOST',
  'compute service list': 'service list',
  'compute service set': 'service enable HOST, or: nova service disable HOST',
  'availability zone list': 'host list -c name -c availability_zone',
  instance: 'list',
  instances: 'list',
  server: 'list',
  servers: 'list',
  vm: 'list',
  vms: 'list',
  ls: 'list',
  ps: 'list',
  dominfo: 'show NAME',
  domstate: 'show NAME -c status',
  inspect: 'show NAME',
  create: 'boot NAME',
  launch: 'boot NAME',
  run: 'boot NAME',
  spawn: 'boot NAME',
  init: 'boot NAME',
  new: 'boot NAME',
  define: 'boot NAME',
  rm: 'delete NAME',
  remove: 'delete NAME',
  undefine: 'delete NAME',
  terminate: 'delete NAME',
  'force-delete': 'delete NAME',
  destroy: 'delete NAME (to cut the power and keep the disk: nova reboot --hard NAME, or nova stop NAME)',
  kill: 'delete NAME, or: nova stop NAME',
  shutdown: 'stop NAME',
  poweroff: 'stop NAME',
  poweron: 'start NAME',
  restart: 'reboot NAME',
  reset: 'reboot --hard NAME',
  save: 'suspend NAME',
  managedsave: 'suspend NAME',
  restore: 'resume NAME',
  logs: 'console-log NAME',
  log: 'console-log NAME',
  top: 'dashboard',
  stats: 'dashboard',
  monitor: 'dashboard',
  events: 'event list',
  info: 'status',
  version: '--version',
  versions: 'service list',
  images: 'image list',
  image_list: 'image list',
  'image import': 'image create NAME --disk FILE',
  'image upload': 'image create NAME --disk FILE',
  'image add': 'image create NAME --disk FILE',
  pull: 'image create NAME --disk FILE (nova fetches no images from the network: download the file first)',
  flavors: 'flavor list',
  hosts: 'host list',
  hypervisor: 'host list',
  nodes: 'host list',
  node: 'host list',
  nodeinfo: 'host list',
  services: 'service list',
  operations: 'operation list',
  tasks: 'operation list',
  'instance-action': 'operation show ID',
  'instance-action-list': 'operation list --instance NAME',
  quotas: 'quota list',
  'quota-show': 'quota show PROJECT',
  'quota-update': 'quota set PROJECT',
  'quota-defaults': 'quota list',
  limits: 'quota show',
  'absolute-limits': 'quota show',
  daemon: 'daemon --help',
  update: 'rename NAME NEW-NAME',
  mv: 'rename NAME NEW-NAME',
  cordon: 'service disable HOST',
  uncordon: 'service enable HOST',
  dashboard: 'dashboard',
  tui: 'dashboard',
  ui: 'dashboard',
}

const network = 'nova has no networks yet: each guest has a private user network that nothing outside can reach.'
const volume = 'nova has no volumes yet: each instance has one disk, as large as its flavor says.'
const shell =
  'nova gives no shell in a guest yet: the console can be read, not typed into. Read it: nova console-log NAME'
const graphical = 'nova has no graphical console yet. Read the serial console: nova console-log NAME'
const keypair = 'nova keeps no key pairs: give the public key at boot: nova boot NAME --key ~/.ssh/id_ed25519.pub'
const snapshot = 'nova makes no snapshots yet. The disk of an instance that is SHUTOFF lies on its host: nova show NAME'
const live = 'nova moves no running guests yet. Shut it down, move it and start it in one command: nova migrate NAME'
const resize = 'nova does not resize yet. Boot another instance with the larger flavor: nova boot NAME --flavor FLAVOR'
const rebuild = 'nova does not rebuild yet. Delete the instance and boot it again: nova delete NAME; nova boot NAME'
const rescue = 'nova has no rescue yet. Read what the guest said: nova console-log NAME'
const evacuate =
  'nova evacuates no hosts yet. Move instances off a host that is up, one by one: nova service disable HOST; nova migrate NAME'
const lock = 'nova does not lock, shelve or back up instances yet.'
const project =
  'nova keeps no projects or users: name the project with each command: --project PROJECT, or NOVA_PROJECT'
const secgroup = `nova has no security groups yet. ${network}`
const metadata = 'nova sets metadata at boot only: nova boot NAME --meta KEY=VALUE'
const aggregate = 'nova has no aggregates. Hosts are in availability zones: nova host set HOST --availability-zone ZONE'
const group = 'nova has no server groups. Keep instances apart with a hint: nova boot NAME --hint different_host=OTHER'
const usage = 'nova keeps no accounts of usage. What hosts have given: nova host list'
const files = 'nova copies no files into guests. Give user data at boot: nova boot NAME --user-data FILE'

const sentences: Readonly<Record<string, string>> = {
  ...same(
    network,
    'network',
    'networks',
    'subnet',
    'router',
    'port',
    'floating',
    'floatingip',
    'ip',
    'interface',
    'net-list',
  ),
  ...same(
    network,
    'interface-attach',
    'interface-detach',
    'interface-list',
    'floating-ip-associate',
    'add-fixed-ip',
    'net',
  ),
  ...same(network, 'domifaddr', 'publish', 'expose'),
  ...same(secgroup, 'security', 'secgroup', 'firewall', 'add-secgroup', 'remove-secgroup', 'list-secgroup'),
  ...same(
    volume,
    'volume',
    'volumes',
    'volume-attach',
    'volume-detach',
    'volume-attachments',
    'storage',
    'disk',
    'pool',
  ),
  ...same(volume, 'attach-disk', 'attach-volume', 'detach-disk', 'vol-list', 'pool-list'),
  ...same(shell, 'ssh', 'exec', 'shell', 'attach', 'console', 'sh', 'enter', 'login', 'get-serial-console'),
  ...same(
    graphical,
    'vnc',
    'spice',
    'get-vnc-console',
    'get-spice-console',
    'get-rdp-console',
    'vncdisplay',
    'console url',
  ),
  ...same(
    keypair,
    'keypair',
    'keypairs',
    'key',
    'keys',
    'keypair-add',
    'keypair-list',
    'keypair-delete',
    'keypair-show',
  ),
  ...same(
    snapshot,
    'snapshot',
    'snapshots',
    'image-create',
    'commit',
    'backup',
    'snapshot-create',
    'snapshot-list',
    'export',
  ),
  ...same(live, 'live-migration', 'live-migrate', 'server live', 'move'),
  ...same(resize, 'resize', 'resize-confirm', 'resize-revert', 'setvcpus', 'setmem', 'scale'),
  ...same(rebuild, 'rebuild'),
  ...same(rescue, 'rescue', 'unrescue'),
  ...same(evacuate, 'evacuate', 'host-evacuate', 'host-evacuate-live', 'drain', 'host-servers-migrate'),
  ...same(lock, 'lock', 'unlock', 'shelve', 'unshelve', 'shelve-offload', 'backup-create', 'clone', 'copy'),
  ...same(
    project,
    'project',
    'projects',
    'user',
    'users',
    'role',
    'tenant',
    'token',
    'domain',
    'catalog',
    'endpoint',
    'remote',
  ),
  ...same(metadata, 'meta', 'property', 'set', 'unset', 'tag', 'set-password', 'server-tag-list', 'label'),
  ...same(aggregate, 'aggregate', 'aggregate-list', 'aggregate-create'),
  ...same(group, 'server group', 'server-group-list', 'server-group-create', 'group'),
  ...same(usage, 'usage', 'usage-list', 'hypervisor stats', 'hypervisor-stats', 'df'),
  ...same(files, 'cp', 'scp', 'push', 'file'),
}

function same(sentence: string, ...words: string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => [word, sentence]))
}

/** What to say to words of another tool, at least `least` of them; undefined if they are none. */
export function foreign(typed: readonly string[], least: number): string | undefined {
  for (let length = Math.min(typed.length, 3); length >= least; length--) {
    const words = typed.slice(0, length).join(' ').toLowerCase()
    if (Object.hasOwn(commands, words)) return `Use: nova ${commands[words]}`
    if (Object.hasOwn(sentences, words)) return sentences[words]
  }
  return undefined
}

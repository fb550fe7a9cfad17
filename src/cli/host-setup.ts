import type { conductor } from '../core/contracts/conductor.ts'
import type { Result } from '../core/rpc/contract.ts'

/** What to do on the machine that is to be a host: its configuration, as a file and as an environment, and its start. */
export function hostSetup({ host, user, password, url }: Result<typeof conductor, 'hostAdd'>): string {
  const bus = url ?? `amqp://${user}:${password}@ADDRESS-OF-THE-BROKER:5672`
  const near = url !== undefined && /@(127\.|localhost[:/]|\[::1\])/.test(url)
  const lines = [
    ...(url === undefined
      ? [
          'The embedded broker listens for no other machine yet: set broker.listen = ["0.0.0.0:5672"] (or tls:0.0.0.0:5671)',
          'where it runs, start it again, and put its address into what follows.',
          '',
        ]
      : []),
    ...(near
      ? [
          'The broker listens for this machine alone; from another one the address below must be one that it has there.',
          '',
        ]
      : []),
    `On ${host}, /etc/nova/nova.toml, for its user only (chmod 600):`,
    '',
    '[bus]',
    `url = ${JSON.stringify(bus)}`,
    ...(bus.startsWith('amqps:') ? ['ca_file = "/etc/nova/ca.pem"'] : []),
    '',
    '[compute]',
    `host = ${JSON.stringify(host)}`,
    '',
    'Or as environment:',
    '',
    `NOVA_BUS_URL='${bus}'`,
    ...(bus.startsWith('amqps:') ? ["NOVA_BUS_CA_FILE='/etc/nova/ca.pem'"] : []),
    `NOVA_COMPUTE_HOST='${host}'`,
    '',
    'Then start it there: nova daemon compute (under systemd: docs/systemd.md).',
  ]
  return `${lines.join('\n')}\n`
}

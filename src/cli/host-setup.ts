import type { conductor } from '../core/contracts/conductor.ts'
import type { Result } from '../core/rpc/contract.ts'

/** What to do on the new host: its configuration, as a file and as environment variables, and how to start it. */
export function hostSetup({ host, user, password, url }: Result<typeof conductor, 'hostAdd'>): string {
  const bus = url ?? `amqp://${user}:${password}@ADDRESS-OF-THE-BROKER:5672`
  const near = url !== undefined && /@(127\.|localhost[:/]|\[::1\])/.test(url)
  const lines = [
    ...(url === undefined
      ? [
          'The embedded broker does not listen for other machines yet: set broker.listen = ["0.0.0.0:5672"] (or tls:0.0.0.0:5671)',
          'on the machine that runs it, restart it, and put the address of that machine into the lines below.',
          '',
        ]
      : []),
    ...(near
      ? ['The broker listens on loopback only: replace the address below by one that other machines can reach.', '']
      : []),
    `On ${host}, /etc/nova/nova.toml, readable by its user only (chmod 600):`,
    '',
    '[bus]',
    `url = ${JSON.stringify(bus)}`,
    ...(bus.startsWith('amqps:') ? ['ca_file = "/etc/nova/ca.pem"'] : []),
    '',
    '[compute]',
    `host = ${JSON.stringify(host)}`,
    '',
    'Or as environment variables:',
    '',
    `NOVA_BUS_URL='${bus}'`,
    ...(bus.startsWith('amqps:') ? ["NOVA_BUS_CA_FILE='/etc/nova/ca.pem'"] : []),
    `NOVA_COMPUTE_HOST='${host}'`,
    '',
    'Then start the daemon there: nova daemon compute (under systemd: docs/systemd.md).',
  ]
  return `${lines.join('\n')}\n`
}

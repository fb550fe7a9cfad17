import type { conductor } from '../core/contracts/conductor.ts'
import type { Result } from '../core/rpc/contract.ts'

/** What to do on the new host: its configuration, as a file and as environment variables, and how to start it. */
export function hostSetup({ host, user, password, url }: Result<typeof conductor, 'hostAdd'>): string {
  const bus = url ?? `amqps://${user}:${password}@ADDRESS-OF-THE-BROKER:5671`
  const near = url !== undefined && /@(127\.|localhost[:/]|\[::1\])/.test(url)
  const lines = [
    ...(url === undefined
      ? [
          'The embedded broker does not listen for other machines yet. On the machine that runs it set',
          'broker.listen = ["tls:0.0.0.0:5671"] with broker.cert_file and broker.key_file (docs/security.md), restart it, and put',
          'the address of that machine into the lines below. Without TLS ("0.0.0.0:5672", and amqp:// below) the password and',
          'all messages cross the network in clear.',
          '',
        ]
      : []),
    ...(url?.startsWith('amqp:') && !near
      ? ['This address has no TLS: the password and all messages cross the network in clear (docs/security.md).', '']
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

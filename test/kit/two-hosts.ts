import { join } from 'node:path'
import { guestPaths } from '../../src/core/virt/qemu/paths.ts'
import { findMachines } from '../../src/core/virt/qemu/process.ts'
import { type Backend, Cloud, type Daemon } from './cloud.ts'
import { freePort, type PrivateRabbit, privateRabbit } from './private-rabbitmq.ts'

const settings = {
  NOVA_COMPUTE_DRIVER: 'qemu',
  // A guest that still boots hears no power button: its power is cut after this time.
  NOVA_COMPUTE_SHUTDOWN_TIMEOUT: '2',
  NOVA_OPERATIONS_LEASE_SECONDS: '2',
  NOVA_OPERATIONS_SWEEP_SECONDS: '0.3',
  NOVA_OPERATIONS_RESEND_SECONDS: '0.5',
  NOVA_SERVICES_HEARTBEAT_SECONDS: '0.5',
  NOVA_SERVICES_SERVICE_DOWN_TIME: '4',
  // A host that was silent hears with its next report what is not its own any more.
  NOVA_COMPUTE_REPORT_SECONDS: '2',
}

export const hostNames = ['a', 'b'] as const
export type HostName = (typeof hostNames)[number]
export const otherThan = (host: HostName): HostName => (host === 'a' ? 'b' : 'a')

/** Two compute hosts as if on machines of their own: each has its directory and what `nova host add` printed for it. */
export class TwoHosts {
  readonly cloud: Cloud
  readonly #rabbit: PrivateRabbit | undefined
  readonly #daemons = new Map<HostName, Daemon>()
  readonly #urls = new Map<HostName, string>()
  readonly #watch: NodeJS.Timeout
  /** The most machines that one guest was seen to have at a moment. */
  copies = 0

  private constructor(cloud: Cloud, rabbit: PrivateRabbit | undefined) {
    this.cloud = cloud
    this.#rabbit = rabbit
    this.#watch = setInterval(() => void this.#count(), 100)
  }

  static async open(backend: Backend): Promise<TwoHosts> {
    const rabbit = backend === 'services' ? await privateRabbit({ management: true }) : undefined
    const bus = rabbit
      ? { NOVA_BUS_URL: rabbit.url, NOVA_BUS_MANAGEMENT_URL: rabbit.managementUrl }
      : { NOVA_BROKER_LISTEN: `127.0.0.1:${await freePort()}` }
    const hosts = new TwoHosts(await Cloud.open(backend, { ...settings, ...bus }), rabbit)
    for (const name of [...(rabbit ? [] : ['broker']), 'conductor', 'scheduler']) await hosts.cloud.daemon(name)
    for (const host of hostNames) {
      hosts.#urls.set(host, (await hosts.cloud.json<{ url: string }>('host', 'add', host)).url)
      await hosts.start(host)
    }
    return hosts
  }

  async start(host: HostName): Promise<void> {
    const daemon = await this.cloud.daemon('compute', {
      NOVA_STATE_DIR: join(this.cloud.stateDir, host),
      NOVA_BUS_URL: this.#urls.get(host) ?? '',
      NOVA_BUS_MANAGEMENT_URL: '',
      NOVA_DATABASE_URL: '',
      NOVA_BROKER_LISTEN: '',
      NOVA_COMPUTE_HOST: host,
    })
    this.#daemons.set(host, daemon)
  }

  /** Freezes the daemon of a host, or lets it go on. */
  freeze(host: HostName, frozen = true): void {
    this.#daemons.get(host)?.process.kill(frozen ? 'SIGSTOP' : 'SIGCONT')
  }

  async killAndRestart(host: HostName): Promise<void> {
    await this.#daemons.get(host)?.kill()
    await this.start(host)
  }

  dir(host: HostName): string {
    return join(this.cloud.stateDir, host, 'compute', host)
  }

  paths(host: HostName, id: string) {
    return guestPaths(this.dir(host), id)
  }

  async machines(host: HostName): Promise<Map<string, number>> {
    return findMachines(this.dir(host))
  }

  async #count(): Promise<void> {
    const seen = (await Promise.all(hostNames.map((host) => this.machines(host)))).flatMap((machines) => [
      ...machines.keys(),
    ])
    for (const id of seen) this.copies = Math.max(this.copies, seen.filter((other) => other === id).length)
  }

  async close(): Promise<void> {
    clearInterval(this.#watch)
    for (const host of hostNames) this.freeze(host, false)
    for (const host of hostNames) for (const pid of (await this.machines(host)).values()) process.kill(pid, 'SIGKILL')
    await this.cloud.close()
    await this.#rabbit?.stop()
  }
}

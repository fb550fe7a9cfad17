import { appendFileSync } from 'node:fs'

/**
 * Says that something real is not on this machine, so that what needs it does not run. A failure where NOVA_REQUIRE lists
 * it; otherwise `npm test` repeats it in its last lines.
 */
export function missing(
  what: 'mysql' | 'rabbitmq' | 'qemu' | 'kvm' | 'python' | 'tmux' | 'strace' | 'root' | 'cgroups',
  why: string,
): undefined {
  if ((process.env.NOVA_REQUIRE ?? '').split(/[\s,]+/).includes(what))
    throw new Error(`NOVA_REQUIRE lists ${what}, but ${why}`)
  console.warn(`not tested here: ${what}: ${why}`)
  if (process.env.NOVA_TEST_MISSING) appendFileSync(process.env.NOVA_TEST_MISSING, `${what}: ${why}\n`)
  return undefined
}

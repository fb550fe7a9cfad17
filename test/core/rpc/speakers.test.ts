import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Speakers } from '../../../src/core/rpc/speakers.ts'
import { lowestOf } from '../../../src/core/rpc/versions.ts'

const compute = { topic: 'compute', version: '1.9' }

/** Services that count how often somebody looks at what they speak. */
function counted() {
  let looks = 0
  const service = (host: string, version: string | undefined) => ({
    binary: 'compute',
    host,
    get contracts() {
      looks++
      return version === undefined ? undefined : { compute: version }
    },
  })
  return {
    service,
    looks: () => {
      const before = looks
      looks = 0
      return before
    },
  }
}

test('among ten thousand services a heartbeat and a question look at two of them, and not at the others', () => {
  const { service, looks } = counted()
  const speakers = new Speakers()
  const cap = speakers.everywhere(compute, 'compute')
  speakers.recordAll(Array.from({ length: 10_000 }, (_, i) => service(`h${i}`, i === 7 ? '1.2' : '1.4')))
  expect(cap()).toBe('1.2')
  expect(looks()).toBe(10_000)
  expect(speakers.on(compute, 'compute', 'h9')()).toBe('1.4')
  expect(looks()).toBe(1)
  for (let i = 0; i < 100; i++) {
    speakers.record(service(`h${i + 100}`, '1.4'))
    expect(cap()).toBe('1.2')
  }
  expect(looks()).toBeLessThanOrEqual(200)
  // Also when the lowest of all goes up.
  speakers.record(service('h7', '1.4'))
  expect(cap()).toBe('1.4')
  expect(looks()).toBeLessThanOrEqual(2)
})

test('whatever is said in whatever order, the answer is the lowest of what each said last', () => {
  const version = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined })
  const said = fc.record({
    host: fc.nat(4),
    version,
    binary: fc.constantFrom('compute', 'conductor'),
    all: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(said, { maxLength: 40 }), (story) => {
      const speakers = new Speakers()
      const cap = speakers.everywhere(compute, 'compute')
      let last = new Map<string, string>()
      for (const { host, version, binary, all } of story) {
        const spoken = {
          binary,
          host: `h${host}`,
          contracts: version === undefined ? undefined : { compute: `1.${version}` },
        }
        if (all) {
          speakers.recordAll([spoken])
          last = new Map()
        } else speakers.record(spoken)
        if (binary === 'compute') last.set(spoken.host, `1.${version ?? 0}`)
        expect(cap()).toBe(lowestOf([...last.values()]))
        expect(speakers.on(compute, 'compute', spoken.host)()).toBe(last.get(spoken.host))
      }
    }),
  )
})

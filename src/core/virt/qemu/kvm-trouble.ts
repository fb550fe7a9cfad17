/** An error of KVM itself. `lasting`: the next guest would meet it too; else KVM was only not to be had. */
export type KvmTrouble = { why: string; lasting: boolean }

/** What QEMU prints when KVM cannot go on with a guest, after which the machine stands still (`internal-error`) or ends. */
const lasting =
  /KVM internal error|KVM: (?:entry failed|unknown exit)|kvm run failed|failed to [gs]et MSR|kvm_\w+: Assertion/
/** What QEMU prints when it cannot start with KVM: another program has the processor, or a permission is gone. */
const passing = /Could not access KVM|failed to initialize kvm|ioctl\(KVM_\w+\) failed/i

/** The line of QEMU's log that tells of an error of KVM itself, made readable; undefined if there is none. */
export function kvmTrouble(log: string): KvmTrouble | undefined {
  const lines = log.split('\n')
  const grave = lines.find((line) => lasting.test(line))
  const line = grave ?? lines.find((candidate) => passing.test(candidate))
  if (line === undefined) return undefined
  // That number is KVM_INTERNAL_ERROR_EMULATION.
  const why = plainWords(line).replace(/(Suberror: 1)$/, '$1, emulation failure')
  return { why, lasting: grave !== undefined }
}

/** A line of QEMU's without the time of day and its own name that it begins with. */
export const plainWords = (line: string): string =>
  line
    .trim()
    .replace(/^\S+T\S+Z /, '')
    .replace(/^\S*qemu-system-\S+: /, '')
    .slice(0, 300)

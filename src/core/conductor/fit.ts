import { fail } from '../base/errors.ts'
import type { Flavor } from '../contracts/shapes.ts'
import type { BootImage } from '../store/images.ts'

/**
 * Fails unless an instance of this flavor can start from this image: `FlavorTooSmall` says what is too small. A flavor with
 * no disk takes the image's own size, as in Nova.
 */
export function checkFit(flavor: Flavor, image: BootImage): void {
  const names = { flavor: flavor.name, image: image.name }
  if (flavor.memoryMb < image.minMemoryMb)
    fail('FlavorTooSmall', { ...names, what: 'memory', needs: image.minMemoryMb, has: flavor.memoryMb, unit: 'MB' })
  if (flavor.diskGb !== 0 && flavor.diskGb < image.minDiskGb)
    fail('FlavorTooSmall', { ...names, what: 'disk', needs: image.minDiskGb, has: flavor.diskGb, unit: 'GB' })
}

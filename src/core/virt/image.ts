import type { ImageFiles } from './driver.ts'

/** Fails if a guest could start from neither disk nor kernel. */
export function checkCreatable(image: ImageFiles): void {
  if (!image.disk && image.kernel === undefined) throw new Error('the image has neither a disk nor a kernel')
}

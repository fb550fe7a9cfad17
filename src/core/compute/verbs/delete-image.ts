import type { ComputeVerb } from './tools.ts'

/** Removes the files of a deleted image from this host's cache; files that a guest stands on stay. */
export const deleteImage: ComputeVerb<'delete-image'> = {
  steps: { uncache: ({ images }, { args }) => images.drop(args.checksums) },
}

/** What a project may use at most that has no limits of its own, as the configuration says; -1: no limit. Sizes in MiB. */
export type QuotaOptions = {
  readonly instances: number
  readonly cores: number
  readonly memoryMb: number
  readonly imageSizeTotal: number
}

/** Nova's own defaults; of image files 100 GiB. */
export const quotaDefaults: QuotaOptions = { instances: 10, cores: 20, memoryMb: 51_200, imageSizeTotal: 102_400 }

/** What is limited, in the words of Nova and Glance; `ram` and `image_size_total` are MiB. */
export const quotaResources = ['instances', 'cores', 'ram', 'image_size_total'] as const
export type QuotaResource = (typeof quotaResources)[number]
/** So much of each thing that a quota bounds. */
export type Amounts = Record<QuotaResource, number>

/** The same of each thing that a quota bounds. */
export const quotaRecord = <T>(each: T): Record<QuotaResource, T> => ({
  instances: each,
  cores: each,
  ram: each,
  image_size_total: each,
})

/** The options as amounts. */
export const amountsOf = (options: QuotaOptions): Amounts => ({
  instances: options.instances,
  cores: options.cores,
  ram: options.memoryMb,
  image_size_total: options.imageSizeTotal,
})

/** The project of a caller that names none. */
export const firstProject = 'default'

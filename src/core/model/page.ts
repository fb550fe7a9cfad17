/** Rows that a list has if its caller names no limit. A page of so many may have another one after it. */
export const pageDefault = 1000

/** Events that a list has if its caller names no limit. */
export const eventsDefault = 100

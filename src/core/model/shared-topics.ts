/**
 * The topics on which any one daemon of a kind answers: what clients ask, what hosts say, what waits for a host. A host listens
 * on its own queue alone.
 */
export const sharedTopics = ['conductor', 'agent', 'compute_agent', 'scheduler'] as const

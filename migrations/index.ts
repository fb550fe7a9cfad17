import type { Migration } from 'kysely'
import * as first from './0001-first.ts'
import * as images from './0002-images.ts'
import * as eventCodes from './0003-event-codes.ts'
import * as hostGrowth from './0004-host-growth.ts'
import * as unknownGuests from './0005-unknown-guests.ts'
import * as imageDirectory from './0006-image-directory.ts'
import * as eventUsers from './0007-event-users.ts'
import * as servicesByHost from './0008-services-by-host.ts'
import * as hostCgroups from './0009-host-cgroups.ts'

/** All migrations by name, in order. A table rather than a folder to read, so that a bundle contains them. */
export const migrations: Readonly<Record<string, Migration>> = {
  '0001-first': { up: first.up, down: first.down },
  '0002-images': { up: images.up, down: images.down },
  '0003-event-codes': { up: eventCodes.up, down: eventCodes.down },
  '0004-host-growth': { up: hostGrowth.up, down: hostGrowth.down },
  '0005-unknown-guests': { up: unknownGuests.up, down: unknownGuests.down },
  '0006-image-directory': { up: imageDirectory.up, down: imageDirectory.down },
  '0007-event-users': { up: eventUsers.up, down: eventUsers.down },
  '0008-services-by-host': { up: servicesByHost.up, down: servicesByHost.down },
  '0009-host-cgroups': { up: hostCgroups.up, down: hostCgroups.down },
}

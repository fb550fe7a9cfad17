import type { agent } from '../contracts/agent.ts'
import type { computeAgent } from '../contracts/compute-agent.ts'
import type { conductor } from '../contracts/conductor.ts'
import type { Api } from '../rpc/contract.ts'
import { bye, heartbeat, hello } from './actions/agents.ts'
import { busPurge, busStatus } from './actions/bus.ts'
import { join, removed, report } from './actions/compute-agents.ts'
import { flavorCreate, flavorDelete, flavorList, flavorShow } from './actions/flavors.ts'
import { eventList, operationFind, operationList, operationShow } from './actions/history.ts'
import { hostAdd, hostDelete } from './actions/host-logins.ts'
import { hostAcceptCapacity, hostList, hostSet, hostShow } from './actions/hosts.ts'
import { imageCreate, imageDelete, imageList, imageRead, imageShow, imageWrite } from './actions/images.ts'
import { consoleLog, explain, instanceList, instanceRename, instanceShow, type Relays } from './actions/instances.ts'
import { quotaList, quotaSet, quotaShow } from './actions/quotas.ts'
import { serviceList, serviceSet } from './actions/services.ts'
import { status } from './actions/status.ts'
import type { ConductorDeps } from './deps.ts'
import { agentClaims, computeAgentClaims, guarded } from './guard.ts'
import { beginOn } from './operations/begin.ts'
import { boot, bootDryRun } from './operations/boot.ts'
import { cancel } from './operations/cancel.ts'
import { claim } from './operations/claim.ts'
import { finish } from './operations/finish.ts'
import { observe } from './operations/observe.ts'
import { retry } from './operations/retry.ts'
import { step } from './operations/step.ts'
import { permitted } from './permitted.ts'

/** What front ends may ask, each caller what its role allows, and the function that answers. */
export const conductorManager = (deps: ConductorDeps): Api<typeof conductor> => {
  const relays: Relays = new Map()
  return permitted({
    boot: (ctx, args) => boot(deps, ctx, args),
    bootDryRun: (ctx, args) => bootDryRun(deps, ctx, args),
    begin: (ctx, args) => beginOn(deps, ctx, args),

    instanceList: (ctx, args) => instanceList(deps, ctx, args),
    instanceShow: (ctx, args) => instanceShow(deps, ctx, args),
    instanceRename: (ctx, args) => instanceRename(deps, ctx, args),
    consoleLog: (ctx, args) => consoleLog({ ...deps, relays }, ctx, args),
    explain: (ctx, args) => explain(deps, ctx, args),

    flavorList: (_ctx, args) => flavorList(deps, args),
    flavorShow: (_ctx, args) => flavorShow(deps, args),
    flavorCreate: (ctx, args) => flavorCreate(deps, ctx, args),
    flavorDelete: (ctx, args) => flavorDelete(deps, ctx, args),

    imageList: (ctx, args) => imageList(deps, ctx, args),
    imageShow: (ctx, args) => imageShow(deps, ctx, args),
    imageCreate: (ctx, args) => imageCreate(deps, ctx, args),
    imageWrite: (ctx, args) => imageWrite(deps, ctx, args),
    imageDelete: (ctx, args) => imageDelete(deps, ctx, args),

    quotaShow: (ctx, args) => quotaShow(deps, ctx, args),
    quotaList: (_ctx, args) => quotaList(deps, args),
    quotaSet: (ctx, args) => quotaSet(deps, ctx, args),

    serviceList: (_ctx, args) => serviceList(deps, args),
    serviceSet: (ctx, args) => serviceSet(deps, ctx, args),
    hostList: (_ctx, args) => hostList(deps, args),
    hostShow: (_ctx, args) => hostShow(deps, args),
    hostSet: (ctx, args) => hostSet(deps, ctx, args),
    hostAcceptCapacity: (_ctx, args) => hostAcceptCapacity(deps, args),
    hostAdd: (ctx, args) => hostAdd(deps, ctx, args),
    hostDelete: (ctx, args) => hostDelete(deps, ctx, args),

    busStatus: (ctx) => busStatus(deps, ctx),
    busPurge: (ctx, args) => busPurge(deps, ctx, args),

    operationList: (ctx, args) => operationList(deps, ctx, args),
    operationFind: (ctx, args) => operationFind(deps, ctx, args),
    operationShow: (ctx, args) => operationShow(deps, ctx, args),
    operationCancel: (ctx, { operation }) => cancel(deps, ctx, operation),
    operationRetry: (ctx, { operation }) => retry(deps, ctx, operation),

    eventList: (ctx, args) => eventList(deps, ctx, args),
    status: (ctx) => status(deps, ctx),
    ping: async () => ({ version: deps.version, now: deps.clock.now() }),
  })
}

/** What any service of a host may say, each of its own things only, and the function that answers. */
export const agentManager = (deps: ConductorDeps): Api<typeof agent> =>
  guarded(deps, agentClaims, {
    hello: (ctx, args) => hello(deps, ctx, args),
    heartbeat: (ctx, args) => heartbeat(deps, ctx, args),
    claim: (ctx, args) => claim(deps, ctx, args),
    step: (ctx, args) => step(deps, ctx, args),
    finish: (ctx, args) => finish(deps, ctx, args),
    bye: (ctx, args) => bye(deps, ctx, args),
  })

/** What compute hosts may say beside that. */
export const computeAgentManager = (deps: ConductorDeps): Api<typeof computeAgent> =>
  guarded(deps, computeAgentClaims, {
    join: (ctx, args) => join(deps, ctx, args),
    report: (ctx, args) => report(deps, ctx, args),
    removed: (ctx, args) => removed(deps, ctx, args),
    power: async (ctx, args) => {
      await observe(deps, ctx, args)
      return {}
    },
    imageRead: (_ctx, args) => imageRead(deps, args),
  })
